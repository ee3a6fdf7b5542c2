"""Stopping what a bench has started."""

import subprocess
from typing import Any

_GRACE_S = 20.0


def stop(process: "subprocess.Popen[Any]") -> None:
    """SIGTERM, and SIGKILL where that does not end it; returns when it has ended."""
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
