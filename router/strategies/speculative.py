"""Blocks drafted, then verified: MODE_SPECULATIVE and MODE_SPECULATIVE_CASCADE.

Which rule decides is the expert's affair; the round is the same for all.  Draft a block, verify it,
roll the drafter back to what was accepted, append what the expert emitted, go on.  Drafting ahead,
the drafter makes the next block meanwhile as if all of this one were accepted, and the expert gets
it at once; what was built on a wrong prediction is stale there and costs no pass.  On forks of that
draft it also prepares what would follow the most likely rejections, so that these take no longer.
The tokens are the same either way: each depends on the tokens before it and its keyed noise alone.

The expert goes on alone only behind all that was ever drafted, what was dropped included, and what
is under way is awaited where a pod is lost for good.  The expert's own tokens take other noise, and
who decides a position must not depend on the noise there: a block that ends early is there sooner,
and so is all that follows it; behind an end no draft is started, which would tell that there is no
drafter.
"""

import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing

from cascade.v1 import drafter_pb2, expert_pb2, law_pb2

from router.pace import Pace
from router.sessions import DrafterSession, ExpertSession
from router.strategies.blocks import Flight, add_log_probs
from router.strategies.clock import Clock, pass_alone
from router.strategies.first import First, Piece
from router.strategies.law import follows_a_token_cascade, takes_bonus
from router.strategies.loss import Loss
from router.strategies.pipeline import Pipeline
from router.strategies.task import Emitted, Task
from router.strategies.token_cascade import token_cascade
from services.errors import EngineFailed

BLOCK_LENGTH = 5
"""Tokens drafted in the first rounds, where a bonus token may follow; one more elsewhere."""


async def speculate(task: Task) -> AsyncIterator[Emitted]:
    """The tokens of one round after another."""
    request = task.request
    bonus = takes_bonus(request.law)
    pipeline = Pipeline(request.tokens(), request.max_tokens, request.final_token_ids, bonus=bonus)
    pace = Pace(
        task.history,
        fixed=request.block_length,
        stops_early=request.early_stop is None,
        # Without a bonus, one token more is drafted: the expert's pass costs and yields the same.
        start=BLOCK_LENGTH + (not bonus),
        bonus=bonus,
        overlap=request.overlap,
        may_go_alone=request.allow_expert_alone,
    )
    if follows_a_token_cascade(request.law) and not request.block_length and pace.in_turn():
        task.recorder.as_token_cascade()
        async for emitted in token_cascade(task):
            yield emitted
        return
    rounds = _Rounds(task, pipeline, pace, await task.open_drafter())
    await rounds.draft()
    rounds.check_loss()
    await rounds.connect(await task.open_expert())
    pace.begin()
    try:
        while not pipeline.done:
            await rounds.draft()
            rounds.check_loss()
            if rounds.may_go_alone:
                async for emitted in rounds.decode_alone():
                    yield emitted
            elif emitted := await rounds.advance():
                await rounds.draft()  # first: it need not wait until the client has these
                yield emitted
    finally:
        pace.end()
        rounds.leave()


class _Rounds:
    """Carries a pipeline out on both sessions."""

    def __init__(self, task: Task, pipeline: Pipeline, pace: Pace, drafter: DrafterSession) -> None:
        self._task = task
        self._pipeline = pipeline
        self._pace = pace
        self._drafter = drafter
        self._expert: ExpertSession
        self._clock = Clock(pace)
        self._draft_id = 0
        self._under_way: deque[Flight | None] = deque()
        """What the expert still answers, in order; None: a pass that only fills its cache."""
        self._at_expert = 0
        """How many of the decided tokens the expert has."""
        self._first = First(self._piece, lambda: self._expert.verdict())
        self._drafter_loss = Loss()
        """That of the drafter keeps nothing that is decided, or under way, from the client."""
        self._expert_loss = Loss()
        """That of the expert, behind a decision, keeps nothing that was decided from the client."""

    def check_loss(self) -> None:
        """Tells of a loss, once nothing that was decided waits, nor what still can be.

        Raises:
            CascadeError: NoPodLeft, or whatever else ends a session.
        """
        if self._expert_loss.error:
            raise self._expert_loss.error
        if self._drafter_loss.error and not self._pipeline.flights:
            raise self._drafter_loss.error

    async def draft(self) -> None:
        """Starts the next draft, if there is one to start."""
        length = self._pace.length
        if self._pace.alone:  # soon, behind what was drafted
            length = min(length, self._pipeline.redrafts)
        if length and not self._drafter_loss.error and self._pipeline.may_draft(self._pace.ahead):
            with self._drafter_loss:
                await self._start_draft(length)

    async def _start_draft(self, length: int) -> None:
        order = self._pipeline.order(length, self._pace.likely())
        # Ahead of a bonus, the first token alone may tell that the draft is worth nothing.
        piecewise = self._pipeline.guessing
        self._task.recorder.draft_began()
        self._clock.draft_begins()
        self._draft_id = await self._drafter.start_draft(
            order._replace(
                piece_length=1 if piecewise else 0,
                early_stop=self._task.request.early_stop or 0.0,
                top_probs=self._task.request.early_stop is None,
                acceptance=self._pace.acceptance,
                least_chance=self._pace.least_chance,
                alternatives=self._task.request.overlap.alternatives,
            )
        )

    async def connect(self, expert: ExpertSession) -> None:
        """The expert's session; drafting ahead, it sees the prompt while the drafter drafts."""
        self._expert = expert
        self._clock.connected()
        if self._task.request.overlap.draft_ahead:
            tokens = self._pipeline.tokens
            await expert.start_verify(0, tokens.ids, tokens.hash(), [])
            self._under_way.append(None)
            self._at_expert = len(tokens)

    @property
    def may_go_alone(self) -> bool:
        """Whether the expert should go on alone, and there was nothing to draft before that."""
        begun = self._under_way or self._pipeline.drafting or self._pipeline.forking
        return self._pace.alone > 0 and not begun

    async def decode_alone(self) -> AsyncIterator[Emitted]:
        """The expert's own tokens, for as long as speculation does not pay."""
        pipeline, recorder = self._pipeline, self._task.recorder
        recorder.went_alone(self._pace.history.load.reason)
        recorder.round()
        count = min(self._pace.alone, pipeline.room)
        tokens = pipeline.tokens
        append = tokens.since(self._at_expert)
        self._clock.goes_alone()
        began, before = time.perf_counter(), law_pb2.StepTiming()
        decoding = self._expert.decode(self._at_expert, append, tokens.hash(), count)
        async with aclosing(decoding) as pieces:
            async for piece in pieces:
                if piece.stale:
                    raise EngineFailed("expert: the session's tokens were lost")
                emitted, now = list(piece.tokens), time.perf_counter()
                pipeline.append([token.id for token in emitted])
                self._at_expert = pipeline.decided
                recorder.emitted(emitted)
                found = pass_alone(piece.timing, before)
                self._pace.decoded_alone(len(emitted), 1000 * (now - began), found)
                began, before = now, piece.timing
                over = piece.last or not self._pace.alone  # the next step ends this one
                recorder.expert_step(piece.timing, last=over)
                yield emitted
                if over:
                    return

    async def advance(self) -> Emitted:
        """Waits for one of the two, and does what follows; what was decided, if anything."""
        drafting = self._pipeline.drafting or self._pipeline.forking
        piece, verdict = await self._first.of(
            piece=drafting and not self._drafter_loss.error, verdict=bool(self._under_way)
        )
        emitted: Emitted = []
        if verdict is not None:
            emitted = await self._decide(verdict)
        if piece is not None and piece.step_id == self._draft_id:
            with self._expert_loss:
                await self._take(piece)
        return emitted

    async def _piece(self) -> Piece | None:
        """Of the drafter; None: it is lost."""
        with self._drafter_loss:
            return await self._drafter.piece()
        return None

    async def _take(self, piece: Piece) -> None:
        """Drafted tokens, unless nobody waits for them any more."""
        pipeline, recorder = self._pipeline, self._task.recorder
        flight = None
        if isinstance(piece, drafter_pb2.DraftedForks):
            recorder.forked(piece)
            if pipeline.forking:
                flight = pipeline.forked(piece)
        elif pipeline.drafting:
            recorder.drafter_step(piece.timing, last=piece.last)
            if piece.last:
                self._clock.drafted(piece.timing)
            flight = pipeline.drafted(piece)
        if flight:
            await self._send(flight)

    async def _send(self, flight: Flight) -> None:
        """Sends a block, with the decided tokens before it that the expert has not seen.

        A predicted token is never sent so: the expert would take it as given.
        """
        tokens = self._pipeline.tokens
        position = flight.base if flight.ahead else self._at_expert
        if not flight.replayed:
            self._task.recorder.sent(len(flight.block), ahead=flight.ahead, forked=flight.forked)
        await self._expert.start_verify(
            position, tokens.ids[position : flight.base], tokens.hash(flight.base), flight.block
        )
        flight.sent = None if self._under_way else time.perf_counter()
        self._under_way.append(flight)

    async def _decide(self, verdict: expert_pb2.Verdict) -> Emitted:
        """What a verdict decides; nothing where it is on what was dropped."""
        pipeline, recorder = self._pipeline, self._task.recorder
        flight = self._under_way.popleft()
        if flight is None:
            recorder.expert_step(verdict.timing)
        if flight is None or not pipeline.flights or pipeline.flights[0] is not flight:
            return []
        if verdict.stale:
            self._at_expert = 0
            await self._send(pipeline.replay())
            return []
        emitted = pipeline.verdict(verdict)
        add_log_probs(emitted[: verdict.accepted], flight.block)
        self._clock.verified(len(flight.block), verdict.timing, flight.sent)
        reached = recorder.verified(len(flight.block), verdict, ahead=flight.ahead)
        for token in flight.block[:reached]:
            if token.HasField("defer"):
                self._pace.history.deferrals.add(float(token.defer))
        self._pace.verified(verdict.accepted, reached, flight.drafted.top_probs)
        self._clock.round_ended(len(emitted))
        self._compare(flight, verdict)
        recorder.round()
        recorder.emitted(emitted)
        if not pipeline.flights:
            self._at_expert = pipeline.decided
        if prepared := pipeline.prepared():
            with self._expert_loss:
                await self._send(prepared)
        return emitted

    def _compare(self, flight: Flight, verdict: expert_pb2.Verdict) -> None:
        """What the expert put in place of a rejected token, with its alternatives."""
        known = flight.drafted.alternatives[verdict.accepted : verdict.accepted + 1]
        if known and len(verdict.tokens) > verdict.accepted:
            token = verdict.tokens[verdict.accepted].id
            rank = known[0].index(token) if token in known[0] else None
            self._pace.history.foresight.rejected(rank, len(known[0]))
            self._task.recorder.rejected(rank)

    def leave(self) -> None:
        """Lets go of what is still awaited."""
        self._first.leave()
