"""What overlaps: the drafter's work with the expert's."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Overlap:
    """What the drafter does while the expert verifies a block."""

    draft_ahead: int = 0
    """Blocks that it may draft after that one, as if that were accepted whole."""
    alternatives: int = 0
    """Tokens in place of each one of that block for which it prepares what would follow."""
