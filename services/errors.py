"""Everything that can go wrong and that somebody else has to be told of.

CascadeError
├── InvalidField        a caller's value that can't be: the field, the limit, the value
├── NotServed           a mode, rule or option that this version does not serve
├── Unauthenticated     no API key, or one that is not known
├── Overloaded          no room; try again later
├── DeadlinePassed      the call's own deadline, as a peer saw it
├── PeerLost            a drafter or an expert can't be reached, or went away
│   └── NoPodLeft       and there is no other of its role
├── EngineFailed        a model's forward pass failed
├── ModelUnsupported    a model that the engine can't run right
└── PairMismatch        a drafter and an expert that do not fit together

One table in ``services.serving.status`` maps each to its status code.
"""


class CascadeError(Exception):
    """Base of all.  Its text is one line, fit for a user."""


class InvalidField(CascadeError):
    """A caller's value that can't be."""

    def __init__(self, *violations: tuple[str, str]) -> None:
        """``violations`` are pairs of a field's path and what is wrong with its value."""
        self.violations = violations
        super().__init__("; ".join(f"{field}: {text}" for field, text in violations))


class NotServed(CascadeError):
    """A mode, rule or option that this version does not serve."""


class Unauthenticated(CascadeError):
    """No API key, or one that is not known.  Its text never holds the key."""


class Overloaded(CascadeError):
    """No room; try again after ``retry_after_s`` seconds."""

    def __init__(self, text: str, retry_after_s: float = 1.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(text)


class DeadlinePassed(CascadeError):
    """The call's own deadline, as a peer saw it: a moment before the caller does."""


class PeerLost(CascadeError):
    """A drafter or an expert can't be reached, or went away."""


class NoPodLeft(PeerLost):
    """No drafter, or no expert, is left."""

    def __init__(self, role: str, why: str) -> None:
        """``role``: drafter or expert; ``why``: what became of the last one."""
        self.role = role
        super().__init__(f"no {role} is left: {why}")


class EngineFailed(CascadeError):
    """A model's forward pass failed."""


class ModelUnsupported(CascadeError):
    """A model that the engine can't run right."""


class PairMismatch(CascadeError):
    """A drafter and an expert that do not fit together."""
