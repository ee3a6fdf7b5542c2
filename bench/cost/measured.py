"""What each mode takes of the devices, from the reports of the other benches.

The speculative modes and the expert alone: all milliseconds that ``speed.json`` counted in each
engine by all tokens delivered, the prompt's passes included.  The drafter alone: its answers in
``streams.json``, one at a time, by the clock, as the speed bench does not have it answer alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from bench.cost.demand import Gain, Mode, Parts, mode
from bench.cost.stored import Source, Stored
from bench.engine.together import SESSIONS

Gains = Literal["engine", "streams"]
"""The report that says what several sessions at once are worth."""

EXPERT, SPECULATIVE, CASCADE = "expert", "speculative", "cascade"
NAMES = ("drafter", EXPERT, SPECULATIVE, CASCADE)

_LAWS = {SPECULATIVE: "MODE_SPECULATIVE", CASCADE: "MODE_SPECULATIVE_CASCADE"}
_RATES = {EXPERT: "EXPERT", SPECULATIVE: "SPECULATIVE", CASCADE: "SPECULATIVE_CASCADE"}


@dataclass(frozen=True)
class Counts:
    """One mode's answers in ``speed.json``, all repeats together."""

    answers: int
    tokens: int
    """Delivered, without end tokens."""
    rounds: int
    drafted: int
    busy_s: Parts
    """In each engine, the prompts' passes included."""

    @property
    def per_thousand(self) -> Parts:
        """Busy seconds for a thousand tokens."""
        return self.busy_s.times(1000.0 / self.tokens)


class Measured:
    """The figures of one pair, and where they come from."""

    def __init__(self, folder: Path) -> None:
        """Opens the reports in a folder.

        Raises:
            BadResult: one is missing, or they are of different models.
        """
        self._folder = folder
        self._speed = Stored(folder, "speed")
        self._opened = [self._speed]
        self._models = [str(self._speed.at("models", role)) for role in ("drafter", "expert")]
        self._weights = [str(self._speed.at("weights", role)) for role in ("drafter", "expert")]

    @property
    def sources(self) -> list[Source]:
        """Of every report that was read up to now."""
        return [stored.source for stored in self._opened]

    @property
    def models(self) -> list[str]:
        """Drafter and expert, with what their weights are kept in."""
        return [
            f"{name} ({weights} weights)"
            for name, weights in zip(self._models, self._weights, strict=True)
        ]

    def label(self, name: str) -> str:
        """What a report calls a mode: with the rule that it was measured with."""
        if name not in _LAWS:
            return f"{name} alone"
        law = self._speed.mapping("laws", _LAWS[name])
        rule = str(self._speed.at("laws", _LAWS[name], "rule")).removeprefix("RULE_")
        return f"{name}, {rule}" + (f" {law['alpha']:g}" if "alpha" in law else "")

    def counts(self, name: str) -> Counts:
        """Of a mode's answers; not of the drafter alone.

        Raises:
            BadResult: a count is missing.
        """
        found = list(self._statistics(name))
        drafts = name in _LAWS
        draft_ms = [self._speed.number(*at, "draft_ms") for at in found] if drafts else [0.0]
        drafted = [self._speed.number(*at, "drafted") for at in found] if drafts else [0.0]
        verify_ms = [self._speed.number(*at, "verify_ms") for at in found]
        return Counts(
            answers=len(found),
            tokens=sum(len(self._speed.at(*at[:-1], "token_ids")) for at in found),
            rounds=int(sum(self._speed.number(*at, "rounds") for at in found)),
            drafted=int(sum(drafted)),
            busy_s=Parts(sum(draft_ms) / 1000.0, sum(verify_ms) / 1000.0),
        )

    def drafter_rate(self) -> float:
        """Tokens a second of the drafter's own answers, one at a time, prompts included.

        Raises:
            BadResult: the report has none.
        """
        return self._open("streams").number("rates", "1", "drafter", "tokens_per_s")

    def gain(self, name: str, gains: Gains) -> Gain | None:
        """What several sessions at once are worth in a mode; None where that was not measured.

        Raises:
            BadResult: the report is missing or of other models.
        """
        return self._in_streams(name) if gains == "streams" else self._in_engine(name)

    def mode(self, name: str, gains: Gains) -> Mode:
        """A mode as it was measured.

        Raises:
            BadResult: a figure of it is missing.
        """
        if name in _RATES:
            alone = self.counts(name).per_thousand
        else:
            alone = Parts(1000.0 / self.drafter_rate(), 0.0)
        return mode(name, self.label(name), alone, self.gain(name, gains))

    def _statistics(self, name: str) -> Iterator[tuple[Any, ...]]:
        """Where the router's statistics of each answer are."""
        for problem in self._speed.mapping("answers", name):
            for i in range(len(self._speed.sequence("answers", name, problem))):
                yield ("answers", name, problem, i, "statistics")

    def _in_engine(self, name: str) -> Gain | None:
        if name not in _RATES:
            return None
        engine, wanted = self._open("engine"), _RATES[name]
        if name in _LAWS:  # as the seconds were measured
            if self._weights[0] != "auto":
                wanted = f"{wanted}, drafter {self._weights[0]}"
            wanted = f"{wanted}, never the expert alone"
        for i, entry in enumerate(engine.sequence("rates")):
            if entry.get("mode") == wanted:
                alone, together = (
                    median(engine.numbers("rates", i, which)) for which in ("alone", "together")
                )
                return Gain(
                    engine.number("rates", i, "times"), _basis(alone, together, SESSIONS, engine)
                )
        return None

    def _in_streams(self, name: str) -> Gain | None:
        streams = self._open("streams")
        most = max(streams.mapping("rates"), key=int)
        if most == "1" or name not in streams.mapping("rates", most):
            return None
        alone, together = (
            streams.number("rates", sessions, name, "tokens_per_s") for sessions in ("1", most)
        )
        return Gain(together / alone, _basis(alone, together, int(most), streams))

    def _open(self, name: str) -> Stored:
        """A report of the same models, opened once."""
        for stored in self._opened:
            if stored.name == name:
                return stored
        stored = Stored(self._folder, name)
        if stored.at("models") != self._models:
            raise stored.bad(f"of other models than speed.json: {', '.join(stored.at('models'))}")
        if stored.at("dtype") != self._speed.at("dtype"):
            raise stored.bad(f"of another dtype than speed.json: {stored.at('dtype')}")
        if name == "streams" and stored.at("weights") != self._weights:
            raise stored.bad(f"of other weights than speed.json: {stored.at('weights')}")
        self._opened.append(stored)
        return stored


def _basis(alone: float, together: float, sessions: int, stored: Stored) -> str:
    return (
        f"{together:.1f} tokens/s of {sessions} sessions by {alone:.1f} of one, {stored.name}.json"
    )
