"""How a workload says no.

`Refused` is for the user's input or surroundings: one sentence, no traceback, exit code 2. `Suspended` is somebody's wish,
exit code 130. Anything else is a fault of the run: the message names the log, exit code 1; `Failed` is one of known cause.
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


class Failed(Exception):  # noqa: N818 - what happened, and what the user reads
    """A fault of the run whose cause is known; another attempt may go better. `reason` is a stable CamelCase word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Suspended(KeyboardInterrupt):
    """The run ends because `spec.suspend` is true. An interrupt, so that everything that ends for one ends for it too."""
