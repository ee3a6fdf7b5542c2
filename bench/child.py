"""A process that runs beside a bench."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

_PROCESSES = multiprocessing.get_context("spawn")


@contextmanager
def child(target: Any, *arguments: Any) -> Iterator[Connection]:
    """A process, and the end of a pipe to it; it is killed in the end.

    Args:
        target: what it runs; gets the other end of the pipe first.
        arguments: after that.
    """
    here, there = _PROCESSES.Pipe()
    process = _PROCESSES.Process(target=target, args=(there, *arguments), daemon=True)
    process.start()
    there.close()  # when the child ends, there is nobody left to wait for
    try:
        yield here
    finally:
        process.kill()
        process.join()
