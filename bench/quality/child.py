"""What the child process of ``bench.quality.sandbox`` is: its source is sent to a fresh Python.

So it stands alone and uses the standard library only.
"""

import contextlib
import os
import resource
import sys
import types
from typing import Any, NoReturn

_TOLD = 300
"""Characters of an exception that are told."""

_DENIED = (
    *("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn"),
    *("subprocess.Popen", "os.kill", "os.killpg", "signal.pthread_kill", "resource.setrlimit"),
    *("os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir"),
    *("os.symlink", "os.truncate", "os.utime", "shutil.rmtree", "socket.__new__"),
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def run(
    parts: list[str], test: str, entry_point: str, marker: str, limits: dict[str, int]
) -> NoReturn:
    """Runs the parts and the test, and writes ``marker`` to standard output if the check passes.

    Where it does not, the exception is written.  Nothing that the parts print comes there.
    """
    _limit(limits)
    judgement = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    sys.dont_write_bytecode = True
    # What the parts may put in the place of these counts for nothing.
    write, leave = os.write, os._exit
    sys.addaudithook(_deny)
    module = types.ModuleType("answer")
    sys.modules["answer"] = module
    try:
        for number, part in enumerate([*parts, test]):
            exec(compile(part, f"<part {number}>", "exec"), module.__dict__)
        module.__dict__["check"](module.__dict__[entry_point])
    except BaseException as error:
        told = type(error).__name__
        with contextlib.suppress(Exception):
            told = f"{told}: {error}" if str(error) else told
        write(judgement, told[:_TOLD].encode(errors="replace"))
    else:
        write(judgement, marker.encode())
    leave(0)


def _limit(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        number: int = getattr(resource, name)
        resource.setrlimit(number, (value, value))


def _deny(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: no other process, no network, no file that is written."""
    if event in _DENIED or (event == "open" and arguments[2] & _WRITES):
        raise PermissionError(f"an answer may not: {event}")
