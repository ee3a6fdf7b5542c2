"""What every step of the expert does first: check that it builds on the session's tokens."""

from services.engine.session import Session
from services.pod.stream import check_position
from services.tokens import extend_hash


def rebase_or_stale(session: Session, position: int, append: list[int], prefix_hash: int) -> bool:
    """Truncates and appends; False, with nothing changed, where the step is stale.

    A step is stale where it was built on tokens that the session does not have: it names a position
    beyond them, or the hash of another prefix (docs/protocol.md, "Stale blocks").

    Raises:
        InvalidField: there would be no token before the step.
    """
    if position > len(session.tokens):
        return False
    check_position(session, position, append)
    if extend_hash(session.tokens.hash(position), append) != prefix_hash:
        return False
    session.rebase(position, append)
    return True
