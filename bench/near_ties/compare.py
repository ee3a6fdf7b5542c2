"""Two answers that should be equal, and how often such answers part."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.answer import Answer, first_difference
from bench.prompts import Prompt


@dataclass(frozen=True)
class Comparison:
    """An answer against its reference."""

    prompt: Prompt
    one: tuple[int, ...]
    """The reference, its end token included."""
    other: tuple[int, ...]
    """The answer that should equal it, its end token included."""

    @classmethod
    def of(cls, prompt: Prompt, one: Answer, other: Answer) -> "Comparison":
        """Compares all that was emitted."""
        return cls(prompt, one.emitted, other.emitted)

    @property
    def difference(self) -> int | None:
        """Index of the first token that differs.  What follows has another prefix."""
        return first_difference(self.one, self.other)

    @property
    def compared(self) -> int:
        """Tokens that had the same prefix: up to the first difference, that one included."""
        at = self.difference
        return len(self.one) if at is None else at + 1

    @property
    def parted(self) -> tuple[int, int] | None:
        """The two tokens at the first difference.  None: equal, or one is only longer."""
        at = self.difference
        if at is None or at >= min(len(self.one), len(self.other)):
            return None
        return self.one[at], self.other[at]


@dataclass(frozen=True)
class Rate:
    """Differences by tokens that could differ."""

    answers: int
    differences: int
    compared: int

    @property
    def per_token(self) -> float:
        """Probability that a token differs, given the same prefix."""
        return self.differences / self.compared if self.compared else 0.0

    def __str__(self) -> str:
        every = f", one in {self.compared / self.differences:.0f}" if self.differences else ""
        return f"{self.differences} in {self.compared} tokens of {self.answers} answers{every}"


def rate(comparisons: Sequence[Comparison]) -> Rate:
    """Of all comparisons together."""
    return Rate(
        answers=len(comparisons),
        differences=sum(c.difference is not None for c in comparisons),
        compared=sum(c.compared for c in comparisons),
    )
