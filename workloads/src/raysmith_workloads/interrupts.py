"""SIGTERM and SIGINT as a KeyboardInterrupt that does not get lost.

Python raises it wherever the main thread is. In an import of a compiled module, or in a destructor, it is printed and
forgotten, and the run would go on to its end. So it is remembered too, and raised again where the run asks for it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_asked: Final = threading.Event()


def interrupt_on_signals() -> None:
    """Let SIGTERM and SIGINT raise KeyboardInterrupt from now on. What came before is forgotten."""
    _asked.clear()
    _listen()


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if it has been raised before, and was lost."""
    if _asked.is_set():
        raise KeyboardInterrupt


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Around `ray.init()`, which lets SIGTERM end the process with an exit code of its own: it stays an interrupt."""
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        _listen()
    raise_if_interrupted()


def _listen() -> None:
    for number in _SIGNALS:
        signal.signal(number, _interrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    _asked.set()
    raise KeyboardInterrupt
