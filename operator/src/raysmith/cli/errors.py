"""How a command ends when it cannot go on: one sentence on stderr, an exit code, never a traceback.

RaysmithError       bad input, exit code 2
    RunFailed       a run or a service failed, or a gate did not hold, exit code 1
        RunRefused  what it was given can never work, which showed only when it was read, exit code 2
    Interrupted     Ctrl-C, exit code 130
OSError             a file or a folder that cannot be read or written, exit code 2
(anything else      a fault of Raysmith itself: the whole story goes to a file, exit code 1)
"""

import errno
import sys
import tempfile
import traceback
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup
from typing_extensions import override

from raysmith.errors import RaysmithError
from raysmith.fieldpath import printable

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space there and give the same command again",
    errno.EDQUOT: "the quota is used up; free some space there and give the same command again",
    errno.EROFS: "the file system is read-only; name another folder with --data-dir",
    errno.EACCES: "this user has no permission for it; change its permissions or name another path",
    errno.EPERM: "this user has no permission for it; change its permissions or name another path",
    errno.ENOENT: "there is no such file or folder; check the path",
    errno.ENOTDIR: "a part of the path is a file, not a folder; name another path",
    errno.EISDIR: "it is a folder, not a file; name a file",
    errno.EEXIST: "a file stands where a folder is needed; move it away or name another path",
}


class RunFailed(RaysmithError):  # noqa: N818 - what happens to the run
    """The input was fine and the run, or the service, still did not come to its end. Exit code 1."""

    exit_code: ClassVar[int] = FAILED


class RunRefused(RunFailed):
    """The run, or the service, was refused because of its data or its model; only other input helps. Exit code 2."""

    exit_code: ClassVar[int] = BAD_INPUT


class Interrupted(RaysmithError):  # noqa: N818 - what the user did
    """The user stopped it. Exit code 130."""

    exit_code: ClassVar[int] = INTERRUPTED


class SentenceGroup(TyperGroup):
    """The command group whose commands end in sentences."""

    @override
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RaysmithError as error:
            code = getattr(error, "exit_code", BAD_INPUT)
            say_error(str(error))
        except KeyboardInterrupt:
            code = INTERRUPTED
            say_error("interrupted")
        except BrokenPipeError:
            raise
        except OSError as error:
            code = BAD_INPUT
            say_error(os_error_sentence(error))
        except Exception as error:
            if type(error).__module__.startswith("typer"):  # Exit, Abort and usage errors, which typer prints itself
                raise
            code = FAILED
            say_error(_own_fault(error))
        raise typer.Exit(code)


def say_error(text: str) -> None:
    """`error: ` and the sentence, one for each line of `text`, on stderr."""
    for line in text.split("\n"):
        print(f"error: {printable(line)}", file=sys.stderr, flush=True)


def os_error_sentence(error: OSError) -> str:
    """What could not be done with which path, and what to do next."""
    path = error.filename if error.filename is not None else "A file"
    reason = _REMEDIES.get(error.errno or 0, f"{error.strerror or error}; check it and give the same command again")
    return f"{path} cannot be used: {reason}."


def _own_fault(error: Exception) -> str:
    story = traceback.format_exc()
    try:
        with tempfile.NamedTemporaryFile("w", prefix="raysmith-", suffix=".log", delete=False, encoding="utf-8") as file:
            file.write(story)
    except OSError:
        return f"this is a fault of Raysmith itself ({type(error).__name__}: {error}), and no file could be written about it."
    return f"this is a fault of Raysmith itself ({type(error).__name__}: {error}); please report it with {file.name}."
