"""``cascade models``: lists and fetches pairs of models.

Fetching and converting need torch, so they are a command of ``services``, which takes this
process's place and with it the terminal.
"""

import os
import sys
from typing import NoReturn


def models(*arguments: str) -> NoReturn:
    """Becomes ``python -m services.models`` with these arguments."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "services.models", *arguments])
