"""API keys: one made, a file of their hashes read, a key found in it.

The file is TOML, a table for each key: ``[keys.NAME]`` with ``sha256``, and limits if it has any.
A key is 256 random bits: nobody can guess one from its hash, so a plain hash is enough, where
passwords, which people choose, would need a slow one.
"""

import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_PREFIX = "cascade_"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$", repr=False)]


class ApiKey(BaseModel):
    """An entry of the file.  It does not hold the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    """For logs and metrics."""
    sha256: Hash
    """Of the key, in hex."""
    max_sessions: int | None = Field(default=None, ge=1)
    """Answers at once.  None: no limit."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Tokens of prompts and answers.  None: no limit."""


def check_name(name: str) -> None:
    """Refuses what is no name of a key.

    Raises:
        ValueError: saying what a name may be.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a key's name is 1 to 64 of A-Z a-z 0-9 _ -, got {name!r}")


def new_key() -> str:
    """A key that nobody has: 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """As the file has it."""
    return hashlib.sha256(key.encode()).hexdigest()


def load_keys(path: str) -> tuple[ApiKey, ...]:
    """Reads a file of keys.

    Raises:
        ValueError: it can't be used; one line with flag and file.
    """
    where = f"--api-keys-file: {path}"
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"--api-keys-file: can't read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{where} is no TOML: {error}") from error
    entries = table.pop("keys", None)
    if table or not isinstance(entries, dict):
        raise ValueError(f"{where} must have tables [keys.NAME] and nothing else")
    found = tuple(_entry(where, name, entry) for name, entry in entries.items())
    if len({key.sha256 for key in found}) < len(found):
        raise ValueError(f"{where} has one hash under two names")
    return found


def _entry(where: str, name: str, entry: object) -> ApiKey:
    try:
        check_name(name)
        if not isinstance(entry, dict) or "name" in entry:
            raise ValueError("must be a table with sha256 and limits")
        return ApiKey(name=name, **entry)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: keys.{name}.{field}: {first['msg']}") from error
    except ValueError as error:
        raise ValueError(f"{where}: keys.{name}: {error}") from error


def find(key: str, keys: Sequence[ApiKey]) -> ApiKey | None:
    """The entry of a key.  All are compared, each in a time that does not depend on it."""
    hashed, found = hash_key(key), None
    for entry in keys:
        if hmac.compare_digest(hashed, entry.sha256):
            found = entry
    return found
