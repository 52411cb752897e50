"""How a workload says no.

`Refused` is for the user's input or surroundings: one sentence, no traceback, exit code 2. Anything else is a fault of the
run: the message names the log, exit code 1.
"""


class Refused(Exception):  # noqa: N818 - "refused" is what happens to the run, and what the user reads
    """The run cannot go on, and the message says what is wrong, where, and what to do next.

    `reason` is a stable CamelCase word for programs. `retryable` says whether the same run may succeed later, with the
    surroundings repaired and the object unchanged (a full disk), or never will (refused data).
    """

    def __init__(self, reason: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retryable = retryable
