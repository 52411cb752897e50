"""A full disk without filling one: files cannot grow any more. It needs no rights, and the other tests keep their disk."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Inside, no file that this process writes gets larger than `room` bytes."""
    before = fill_disk(0, room)
    try:
        yield
    finally:
        resource.prlimit(0, resource.RLIMIT_FSIZE, before)


def fill_disk(process: int, room: int) -> tuple[int, int]:
    """From now on, no file that `process` writes gets larger than `room` bytes. Returns the limits before."""
    _, most = resource.prlimit(process, resource.RLIMIT_FSIZE)
    return resource.prlimit(process, resource.RLIMIT_FSIZE, (room, most))
