"""``cascade keys``: makes API keys."""

import sys

from router.access.keys import ApiKey, check_name, hash_key, new_key
from router.cli.errors import UsageError


def new(name: str, max_sessions: int | None, tokens_per_minute: int | None) -> None:
    """Prints a new key, which nothing keeps, and its entry for ``--api-keys-file``.

    Raises:
        UsageError: that is no name.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise UsageError(str(error)) from error
    key = new_key()
    entry = ApiKey(
        name=name,
        sha256=hash_key(key),
        max_sessions=max_sessions,
        tokens_per_minute=tokens_per_minute,
    )
    # Not with the entry, which goes into a file that has no keys.
    print(f"The key, shown this once: {key}", file=sys.stderr)
    print("# The entry in the router's file of keys:")
    print(f"[keys.{name}]")
    print(f'sha256 = "{entry.sha256}"')
    for field in ("max_sessions", "tokens_per_minute"):
        if value := getattr(entry, field):
            print(f"{field} = {value}")
