"""One session's pace: how far it drafts, how far ahead, and when the expert is faster alone."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from router.pace.expected import expected
from router.pace.history import LEAST_STRETCH, History
from router.pace.overlap import Overlap
from router.pace.top_probs import Split

MAX_LENGTH = 32
"""The longest block that is chosen."""

_AGAIN = 8
"""Rounds until all is chosen anew."""
_WORTH_AHEAD = 0.1
"""Below this chance of being used, a block is not drafted ahead."""
_WORTH_FORK = 0.02
"""Nor one on a fork: it takes no pass of its own."""
MAX_FORKS = 32
"""Of one draft."""
_WORTH_STOPPING = 1.02
"""Drafts stop early where that makes so many times the tokens."""

_GOES = 0.98
"""Speculation goes on while it may make so much of the tokens of the expert alone."""
_BENEFIT = 1.5
"""Standard errors of the acceptance that are granted to it meanwhile."""
_RETURNS = 1.0
"""It is taken up again from so much on."""
_TRIAL_SHARE = 0.02
"""Of the time of the expert alone, what trials may take."""
_TRIAL_ROUNDS = 3
_OTHER_WAY = 16
"""Of so many answers one takes the slower of two ways."""
_TRIAL_LENGTH = 4


_WHOLE = Split()
"""Drafts do not stop early."""


class _Best(NamedTuple):
    """The fastest that is expected."""

    speed: float
    """Tokens by millisecond."""
    length: int
    split: Split
    used: float
    """How often a block drafted ahead is used."""


class Pace:
    """One session's."""

    def __init__(
        self,
        history: History,
        *,
        fixed: int | None,
        start: int,
        bonus: bool,
        overlap: Overlap,
        early_stop: float | None = 0.0,
        may_go_alone: bool = False,
    ) -> None:
        """Begins with what other sessions have found out.

        Args:
            history: of the session's law.
            fixed: the block length that the request names, if it does.
            start: the block length while nothing is known.
            bonus: whether a bonus token follows a block that was accepted whole.
            overlap: what the drafter may do while the expert verifies.
            early_stop: where drafts stop early, if the request says so.
            may_go_alone: whether the expert may decode alone where that is faster.
        """
        self.history = history
        self._fixed = fixed
        self._bonus = bonus
        self._most_ahead = overlap.draft_ahead
        self._alternatives = overlap.alternatives
        self._may_go_alone = may_go_alone
        self.length = fixed or start
        """Tokens to draft in a round, at most."""
        self._split = _WHOLE
        self._stops = early_stop is None
        self._early_stop = early_stop or 0.0
        self.ahead = overlap.draft_ahead
        """Blocks to draft ahead: none where they would seldom be used."""
        self._until_choice = _AGAIN
        self._choose()
        if self._on_trial:
            self._try()
        else:
            self._consider(_GOES, _BENEFIT)

    @property
    def early_stop(self) -> float:
        """The top probability below which a token is the last of its draft; 0: none is."""
        return self._split.threshold if self._stops else self._early_stop

    @property
    def alone(self) -> int:
        """Tokens that the expert should decode alone now; 0: speculate."""
        return self.history.left if self._may_go_alone else 0

    def in_turn(self) -> bool:
        """Whether to make the answer on one model after the other, where the tokens are the same.

        The drafter then waits for the expert at each token that it defers, and nowhere else.  One
        answer in some takes the slower way, so that what is known of it does not grow old.
        """
        history, times = self.history, self.history.times
        if not times.known or math.isnan(history.deferrals.value):
            return False
        asked_ms = times.draft_trip.value + history.alone_ms + times.verify_trip.value
        token_ms = times.draft.value + history.deferrals.value * asked_ms
        speed = self._best(optimism=0.0).speed
        history.answers += 1
        return (speed * token_ms < 1) != (history.answers % _OTHER_WAY == 0)

    def likely(self) -> list[tuple[int, int]]:
        """Outcomes of a block worth preparing: where it is rejected, and for which alternative."""
        hits = self.history.foresight.rates(self._alternatives)
        chances = {}
        rates = self.history.acceptance.rates(self.length) if hits else []
        for j, block in enumerate(expected(rates, self._split)):
            for rank, hit in enumerate(hits):
                chances[j, rank] = block.rejected * hit
        worth = [outcome for outcome, chance in chances.items() if chance >= _WORTH_FORK]
        return sorted(worth, key=lambda outcome: -chances[outcome])[:MAX_FORKS]

    def verified(self, accepted: int, reached: int, top_probs: Sequence[float] = ()) -> None:
        """Of a block ``reached`` tokens were looked at, and the first ``accepted`` accepted.

        Args:
            accepted: tokens.
            reached: tokens.
            top_probs: of all tokens of the block, if they are known.
        """
        self.history.acceptance.verified(accepted, reached)
        self.history.top_probs.verified(top_probs, accepted, reached)
        self._until_choice -= 1
        if not self._until_choice:
            self._choose()
            self._consider(*((_RETURNS, 0.0) if self._on_trial else (_GOES, _BENEFIT)))

    def decoded_alone(self, tokens: int, ms: float) -> None:
        """The expert has decoded so many tokens alone, in so many milliseconds.

        After a stretch of them a few rounds tell whether to speculate again; each time that they
        say no, the next stretch is twice as long.
        """
        if tokens:
            self.history.alone.add(ms / tokens)
        if not self.history.left:  # another session has come to the end of the stretch
            return
        self.history.left = max(self.history.left - tokens, 0)
        if not self.history.left:
            self.history.stretch = min(2 * self.history.stretch, self._most_stretch)
            self._choose()
            self._try()

    @property
    def _most_stretch(self) -> int:
        """Tokens of a stretch of which a trial costs no more than a small share."""
        trial_ms = _TRIAL_ROUNDS * self.history.times.round_ms(_TRIAL_LENGTH)
        worth = round(trial_ms / (_TRIAL_SHARE * self.history.alone_ms))
        return max(worth, 2 * LEAST_STRETCH)

    @property
    def _on_trial(self) -> bool:
        """Whether a stretch of the expert alone has ended, and no rounds after it have told yet."""
        return self.history.stretch > LEAST_STRETCH and not self.history.left

    def _try(self) -> None:
        """A few rounds, whatever is expected of them."""
        self.length = self._fixed or max(self.length, _TRIAL_LENGTH)
        self._until_choice = _TRIAL_ROUNDS

    def _choose(self) -> None:
        """Chooses the length, and where to stop early, that make the most tokens by time."""
        self._until_choice = _AGAIN
        if not self.history.times.known:
            return
        best = self._best(optimism=0.0)
        self.length, self._split = best.length, best.split
        self.ahead = self._most_ahead if best.used >= _WORTH_AHEAD else 0

    def _best(self, optimism: float) -> _Best:
        """What makes the most tokens by time."""
        rates = self.history.acceptance.rates((self._fixed or MAX_LENGTH) + 1, optimism)
        best = self._best_length(rates, _WHOLE)
        for split in self.history.top_probs.splits() if self._stops else ():
            other = self._best_length(rates, split)
            if other.speed > best.speed * (1 if best.split.threshold else _WORTH_STOPPING):
                best = other
        return best

    def _best_length(self, rates: Sequence[float], split: Split) -> _Best:
        """The same, for drafts that stop there."""
        times, most = self.history.times, len(rates) - 1
        hits = self.history.foresight.rates(self._alternatives)
        best, forks = _Best(0.0, most, split, 0.0), 0.0
        for n, block in enumerate(expected(rates[:most], split), 1):
            chances = [block.rejected * hit for hit in hits]
            forks += sum(chance for chance in chances if chance >= _WORTH_FORK)
            # Ahead of a bonus, a guess of it comes first: it may be wrong, or end the draft.
            ahead = block.whole * (split.accepted(rates[n])[1] if self._bonus else 1)
            decided = block.decided + (block.whole if self._bonus else 0)
            used = (ahead, forks) if self._most_ahead else (0.0, 0.0)
            speed = decided / times.round_ms(block.drafted, *used, self._most_ahead)
            if speed > best.speed and self._fixed in (None, n):
                best = _Best(speed, n, split, ahead + forks)
        return best

    def _consider(self, share: float, benefit: float) -> None:
        """Lets the expert go alone where speculation makes less than a share of its tokens."""
        if not self._may_go_alone or not self.history.times.known:
            return
        alone = 1 / self.history.alone_ms
        speed = self._best(benefit).speed
        if speed >= share * alone:
            self.history.stretch, self.history.left = LEAST_STRETCH, 0
            return
        if self.history.stretch == LEAST_STRETCH:
            self.history.acceptance.begin_anew()
        if not self.history.left:
            self.history.left = self.history.stretch
        self.history.reason = (
            f"speculation does not pay: about {1000 * speed:.3g} tokens/s, by the expert "
            f"alone {1000 * alone:.3g} (acceptance {self.history.acceptance.rates(1)[0]:.2f})"
        )
