"""One session's pace: how far it drafts, how far ahead, and when the expert is faster alone."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from router.pace.history import History
from router.pace.load import LEAST_STRETCH, TRIAL
from router.pace.overlap import Overlap
from router.pace.times import Pass

MAX_LENGTH = 32
"""The longest block that is chosen."""

_AGAIN = 8
"""Rounds until all is chosen anew."""
_WORTH_AHEAD = 0.1
"""Below this chance of being used, a block is not drafted ahead."""
_WORTH_FORK = 0.02
"""Nor one on a fork: it takes no pass of its own, but makes others' passes longer."""
MAX_FORKS = 32
"""Of one draft."""

_GOES = 0.98
"""Speculation goes on while it may make so much of the tokens of the expert alone."""
_BENEFIT = 1.5
"""Standard errors of the acceptance that are granted to it meanwhile."""
_RETURNS = 1.0
"""It is taken up again from so much on."""
_TRIAL_SHARE = 0.02
"""Of the time of the expert alone, what trials may take."""
_TRIAL_ROUNDS = 2
_GROWTH = 4
"""So many times longer is each stretch of the expert alone than the one before it."""
_OTHER_WAY = 16
"""Of so many answers one takes the slower of two ways."""
_TRIAL_LENGTH = 4


class _Best(NamedTuple):
    """The block length that makes the most tokens by time."""

    speed: float
    """Tokens by millisecond."""
    length: int
    ahead: float
    """How often a block is used that was drafted ahead."""
    forked: float
    """How often one is that was prepared on a fork."""


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
        stops_early: bool = False,
        may_go_alone: bool = False,
    ) -> None:
        """Begins with what other sessions have found out.

        Args:
            history: of the session's law.
            fixed: the block length that the request names, if it does.
            start: the block length while nothing is known.
            bonus: whether a bonus token follows a block that was accepted whole.
            overlap: what the drafter may do while the expert verifies.
            stops_early: whether a draft ends where, by its top probabilities, it is accepted whole
                as seldom as one of the best length is on average, instead of at that length.
            may_go_alone: whether the expert may decode alone where that is faster.
        """
        self.history = history
        self._fixed = fixed
        self._bonus = bonus
        self._most_ahead = overlap.draft_ahead
        self._alternatives = overlap.alternatives
        self._may_go_alone = may_go_alone
        self._stops_early = stops_early
        self.length = fixed or start
        """Tokens to draft in a round, at most."""
        self.acceptance: Sequence[float] = ()
        """The chance of a token to be accepted, by equal ranges of its top probability."""
        self.least_chance = 0.0
        """A draft ends with the token with which their product over the block falls below it."""
        self.ahead = overlap.draft_ahead
        """Blocks to draft ahead: none where they would seldom be used."""
        self._worth_fork = _WORTH_FORK
        """Below this chance of being used, no block is drafted on a fork."""
        self._until_choice = _AGAIN
        self._load = history.load
        """For which all was chosen."""
        self._choose()
        if self._on_trial:
            self._try()
        elif not self._load.trying:
            self._consider(_GOES, _BENEFIT)

    def begin(self) -> None:
        """The session decodes from now on, beside the others of its history."""
        self.history.running += 1

    def end(self) -> None:
        """It decodes no more."""
        self.history.running -= 1

    @property
    def alone(self) -> int:
        """Tokens that the expert should decode alone now; 0: speculate."""
        return math.ceil(self.history.load.left) if self._may_go_alone else 0

    def in_turn(self) -> bool:
        """Whether to make the answer on one model after the other, where the tokens are the same.

        The drafter then waits for the expert at each token that it defers, and nowhere else.  One
        answer in some takes the slower way, so that what is known of it does not grow old.
        """
        history, times = self.history, self.history.times
        if not times.known or math.isnan(history.deferrals.value):
            return False
        asked_ms = times.draft_trip.value + times.alone_ms + times.verify_trip.value
        token_ms = times.draft.value + history.deferrals.value * asked_ms
        speed = self._best(optimism=0.0).speed
        history.answers += 1
        return (speed * token_ms < 1) != (history.answers % _OTHER_WAY == 0)

    def likely(self) -> list[tuple[int, int]]:
        """Outcomes of a block worth preparing: where it is rejected, and for which alternative."""
        if not self._alternatives:
            return []
        hits = self.history.foresight.rates(self._alternatives)
        chances, whole = {}, 1.0
        for j, rate in enumerate(self.history.acceptance.rates(self.length)):
            for rank, hit in enumerate(hits):
                chances[j, rank] = whole * (1 - rate) * hit
            whole *= rate
        worth = [outcome for outcome, chance in chances.items() if chance >= self._worth_fork]
        return sorted(worth, key=lambda outcome: -chances[outcome])[:MAX_FORKS]

    def verified(self, accepted: int, reached: int, top_probs: Sequence[float] = ()) -> None:
        """Of a block ``reached`` tokens were looked at, and the first ``accepted`` accepted.

        Args:
            accepted: tokens.
            reached: tokens.
            top_probs: of the block's tokens, if they are known.
        """
        factor = self.history.acceptance.verified(accepted, reached)
        self.history.top_probs.verified(top_probs[:reached], accepted)
        if factor != 1:
            self.history.top_probs.shift(factor)
        self._until_choice -= 1
        if self._until_choice and self.history.load is self._load:
            return
        self._choose()
        if not self._load.left:
            self._consider(*((_RETURNS, 0.0) if self._on_trial else (_GOES, _BENEFIT)))

    def emitted(self, tokens: int, ms: float | None) -> None:
        """A round has ended: what it made, and milliseconds since the one before.

        None: they hold what the next rounds do not have, such as a prompt.
        """
        # A request that has chosen the length is no measure for those that have not.
        measured = ms if self._fixed is None else None
        self.history.load.speculated(tokens, measured, self.history.running)

    def decoded_alone(self, tokens: int, ms: float, found: Pass | None) -> None:
        """The expert has decoded so many tokens alone, in so many milliseconds, since `begin`.

        Args:
            tokens: at least 0.
            ms: as seen from here.
            found: the mean of their passes; None where they are no measure of the next ones.

        After a stretch of them two rounds tell whether to speculate again; each time that they
        say no, the next stretch is longer.  All sessions go alone and all speculate, so that
        a trial shows what it is like when all do.  With many more or fewer sessions it is as it
        was when there were last as many.
        """
        if tokens and found and found.ms:
            self.history.decoded(found, ms / tokens)
        if self.history.load is not self._load:
            self._choose()
        load = self._load
        if not load.left:  # another session has come to the end of the stretch
            return
        load.left = max(load.left - tokens / self.history.running, 0.0)
        if load.left:
            return
        self._choose()
        if load.trying:
            load.trying = False
            self._consider(_GOES, 0.0)
        else:
            load.stretch = min(_GROWTH * load.stretch, self._most_stretch)
            self._try()

    @property
    def _most_stretch(self) -> int:
        """Tokens of a stretch of which a trial costs no more than a small share."""
        trial_ms = _TRIAL_ROUNDS * self.history.times.round_ms(_TRIAL_LENGTH)
        worth = round(trial_ms / (_TRIAL_SHARE * self.history.times.alone_ms))
        return max(worth, 2 * LEAST_STRETCH)

    @property
    def _on_trial(self) -> bool:
        """Whether a stretch of the expert alone has ended, and no rounds after it have told yet."""
        return self._load.stretch > LEAST_STRETCH and not self._load.left

    def _try(self) -> None:
        """A few rounds, whatever is expected of them."""
        shortest = _TRIAL_LENGTH if self._stops_early else max(self.length, _TRIAL_LENGTH)
        self.length, self.least_chance = self._fixed or shortest, 0.0
        self.ahead = 0  # what is drafted and dropped is drafted once more before the expert goes on
        self._until_choice = _TRIAL_ROUNDS

    def _choose(self) -> None:
        """Chooses the length that makes the most tokens by time, or where drafts end instead."""
        self._until_choice, self._load = _AGAIN, self.history.load
        if not self.history.times.known:
            return
        best = self._best(optimism=0.0)
        self._worth_fork = self._fork_pays_from(best)
        self.ahead = self._most_ahead if best.ahead + best.forked >= _WORTH_AHEAD else 0
        if not (self._stops_early and self.history.top_probs.known):
            self.length = best.length
            return
        # Blocks of the best length are accepted whole so often, but for half a token.
        *rates, last = self.history.acceptance.rates(best.length)
        self.length = self._fixed or MAX_LENGTH
        self.acceptance = self.history.top_probs.acceptance()
        self.least_chance = math.prod(rates) * math.sqrt(last)

    def _best(self, optimism: float) -> _Best:
        """What makes the most tokens by time."""
        most = self._fixed or MAX_LENGTH
        rates = self.history.acceptance.rates(most + 1, optimism)
        hits = self.history.foresight.rates(self._alternatives)
        best, whole, emitted, forks = _Best(0.0, most, 0.0, 0.0), 1.0, 0.0, 0.0
        for n in range(1, most + 1):
            emitted += whole
            rejected = whole * (1 - rates[n - 1])
            forks += sum(rejected * hit for hit in hits if rejected * hit >= self._worth_fork)
            whole *= rates[n - 1]
            ahead = whole * (rates[n] if self._bonus else 1)
            total = emitted + (whole if self._bonus else 0)
            block = _Best(0.0, n, ahead, forks)
            if (speed := total / self._round_ms(block)) > best.speed and self._fixed in (None, n):
                best = block._replace(speed=speed)
        return best

    def _fork_pays_from(self, block: _Best) -> float:
        """The chance of being used from which a fork saves more than it costs, of such blocks.

        It saves a round that draft; it costs all rounds that wait for theirs in the same passes.
        """
        times = self.history.times
        saved = times.round_ms(block.length) - times.round_ms(block.length, forked=1.0)
        cost = (1 - block.ahead) * times.fork_ms(block.length)
        return max(cost / saved, _WORTH_FORK) if saved > 0 else math.inf

    def _round_ms(self, block: _Best) -> float:
        """Mean time of a round with such a block."""
        used = (block.ahead, block.forked) if self._most_ahead else (0.0, 0.0)
        return self.history.times.round_ms(block.length, *used, self._most_ahead)

    def _consider(self, share: float, benefit: float) -> None:
        """Lets the expert go alone where speculation makes less than a share of its tokens."""
        times, load = self.history.times, self.history.load
        if not self._may_go_alone or not times.tell:
            return
        alone, speed = 1 / times.alone_ms, self._best(benefit).speed
        if load.shared and load.known:
            alone, speed = 1 / load.alone.value, load.speed
        if speed >= share * alone:
            load.stretch, load.left = LEAST_STRETCH, 0.0
            load.trying = load.shared and load.begin_trial()
            if load.trying:
                load.left = TRIAL
                load.reason = "to see whether speculation pays with so many sessions"
            return
        if load.stretch == LEAST_STRETCH:
            self.history.acceptance.begin_anew()
        if load.left:  # already, for another session's reason
            return
        load.left = load.stretch
        load.reason = (
            f"speculation does not pay: about {1000 * speed:.3g} tokens/s, by the expert "
            f"alone {1000 * alone:.3g} (acceptance {self.history.acceptance.rates(1)[0]:.2f})"
        )
