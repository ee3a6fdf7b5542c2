"""Step times of another machine, given as a file: the counts stay those of ``speed.json``.

The file is JSON, times in milliseconds of one session's step::

    {
      "source": "an H100 each, 2027-01-05, commit abc1234, the command",
      "drafter_step_ms": 4.0,
      "expert_step_ms": 12.0,
      "expert_pass_ms": 14.0,
      "gains": {"expert": 6.0, "speculative": 4.0},
      "rounds": {"speculative": {"drafted": 5.0, "tokens": 4.5}}
    }

``gains`` and ``rounds`` may be left out, or modes in them.  The prompt's passes are in none of it.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.cost.demand import Gain, Mode, Parts, mode
from bench.cost.measured import EXPERT, Measured
from bench.errors import BadOption

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Named = Literal["drafter", "expert", "speculative", "cascade"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Round(_Strict):
    """A mean round of a speculative mode."""

    drafted: _Positive
    """Tokens drafted."""
    tokens: _Positive
    """Tokens delivered."""


class Times(_Strict):
    """Step times, milliseconds, and what was measured with them."""

    source: Annotated[str, Field(min_length=1)]
    """Machine, date, commit and command, in the words of whoever measured."""
    drafter_step_ms: _Positive
    """The drafter's step of one token."""
    expert_step_ms: _Positive
    """The expert's of one token: it answers alone."""
    expert_pass_ms: _Positive
    """The expert's pass over a block, with all that deciding takes."""
    gains: dict[_Named, _Positive] = {}
    """What several sessions at once are worth in a mode; 1 where it is left out."""
    rounds: dict[Literal["speculative", "cascade"], Round] = {}
    """Those measured on that machine; of ``speed.json`` where they are left out."""


def read_times(path: Path) -> Times:
    """Reads a file of step times.

    Raises:
        BadOption: it is missing, no JSON, or has other fields; its first fault is named.
    """
    try:
        return Times.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadOption(f"--times: {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise BadOption(f"--times: {path}: {where}: {first['msg']}") from None


def given_mode(name: str, times: Times, measured: Measured) -> Mode:
    """A mode with step times that were given, for a thousand tokens.

    Args:
        name: one of ``measured.NAMES``.
        times: of the other machine.
        measured: for the tokens drafted and delivered in a round, where they are not given.

    Raises:
        BadResult: a count is missing.
    """
    worth: float | None = {str(key): value for key, value in times.gains.items()}.get(name)
    gain = Gain(worth, "given with --times") if worth else None
    return mode(name, measured.label(name), _alone(name, times, measured), gain)


def round_of(name: str, times: Times, measured: Measured) -> Round:
    """The mean round of a speculative mode.

    Raises:
        BadResult: a count is missing.
    """
    for key, found in times.rounds.items():
        if key == name:
            return found
    counts = measured.counts(name)
    return Round(drafted=counts.drafted / counts.rounds, tokens=counts.tokens / counts.rounds)


def _alone(name: str, times: Times, measured: Measured) -> Parts:
    # Milliseconds a token are seconds a thousand tokens.
    if name == "drafter":
        return Parts(times.drafter_step_ms, 0.0)
    if name == EXPERT:
        return Parts(0.0, times.expert_step_ms)
    mean = round_of(name, times, measured)
    return Parts(times.drafter_step_ms * mean.drafted, times.expert_pass_ms).times(1 / mean.tokens)
