"""Fakes of the two sessions, and a task that a strategy carries out on them."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from itertools import repeat

from cascade.v1 import drafter_pb2, expert_pb2, law_pb2

from router.answer import Answer
from router.pace import History, Overlap
from router.recorder import Recorder
from router.request import Request
from router.sessions import DrafterSession, DraftOrder, ExpertSession
from router.strategies import STRATEGIES, Task
from router.strategies.first import Piece
from router.text import AnswerText
from services.tokens import TokenSequence
from tests.unit.text_samples import byte_level

END = 99
TOKENIZER = byte_level()
AT_ONCE = repeat(0)


class FakeDrafter(DrafterSession):
    """Drafts the tokens of a script, by position; each piece comes after a delay.

    Its alternatives are a wrong token, then the one of another script.  After that it drafts the
    same whatever is before: forks come before or after the session's own block.  It is unsure of
    the tokens at some positions.
    """

    def __init__(
        self,
        script: list[int],
        delays: Iterator[int] = AT_ONCE,
        other: list[int] | None = None,
        forks_first: bool = False,
        no_room: Collection[int] = (),
        context: int = 1000,
        unsure: Collection[int] = (),
    ) -> None:
        self.context, self.unsure = context, unsure
        self.script, self.delays = script, delays
        self.other = other or script
        self.forks_first, self.no_room = forks_first, no_room
        self.tokens: list[int] = []
        self.asked: list[tuple[int, int]] = []
        self._step = 0
        self._pieces: deque[Piece] = deque()
        self._there = asyncio.Event()

    async def start_draft(self, order: DraftOrder) -> int:
        assert order.position <= len(self.tokens)
        self.tokens = self.tokens[: order.position] + list(order.append)
        self.asked.append((len(self.tokens), order.max_tokens))
        assert len(self.tokens) + order.max_tokens <= self.context
        self._step += 1
        block = self._block(len(self.tokens), order.max_tokens, order)
        size = order.piece_length or max(len(block), 1)
        pieces = [
            self._drafted(len(self.tokens) + i, block[i : i + size], order)
            for i in range(0, max(len(block), 1), size)
        ]
        pieces = pieces or [self._drafted(len(self.tokens), [], order)]
        pieces[-1].last = True
        self._pieces = deque(pieces)
        if order.forks:
            forks = self._forks(order)
            if self.forks_first:
                self._pieces.appendleft(forks)
            else:
                self._pieces.append(forks)
        self.tokens += block
        self._there.set()
        return self._step

    def _forks(self, order: DraftOrder) -> drafter_pb2.DraftedForks:
        drafted = drafter_pb2.DraftedForks(step_id=self._step)
        for i, fork in enumerate(order.forks):
            assert fork.position < len(self.tokens)
            assert fork.position + 1 + order.fork_tokens <= self.context
            count = 0 if i in self.no_room else order.fork_tokens
            tokens = self._block(fork.position + 1, count, order)
            drafted.blocks.append(self._drafted(fork.position + 1, tokens, order))
        return drafted

    def _block(self, start: int, count: int, order: DraftOrder) -> list[int]:
        block, chance = [], 1.0
        for position, token in enumerate(self.script[start : start + count], start):
            block.append(token)
            top_prob = self._top_prob(position)
            if order.acceptance:
                ranges = len(order.acceptance)
                chance *= order.acceptance[min(int(top_prob * ranges), ranges - 1)]
            if token == END or top_prob < order.early_stop or chance < order.least_chance:
                break
        return block

    def _top_prob(self, position: int) -> float:
        return 0.25 if position in self.unsure else 1.0

    def _drafted(
        self, start: int, tokens: list[int], order: DraftOrder
    ) -> drafter_pb2.DraftedBlock:
        block = drafter_pb2.DraftedBlock(step_id=self._step, position=start)
        for position, token in enumerate(tokens, start):
            block.tokens.add(id=token)
            if order.top_probs:
                block.top_probs.append(self._top_prob(position))
            if order.alternatives:
                known = [token + 100, self.other[position]][: order.alternatives]
                block.alternatives.add(ids=[other for other in known if other != token])
        return block

    async def piece(self) -> Piece:
        for _ in range(next(self.delays)):
            await asyncio.sleep(0)
        await self._there.wait()
        piece = self._pieces.popleft()
        if not self._pieces:
            self._there.clear()
        return piece

    def close(self) -> None:
        """A fake holds no slot."""


class FakeExpert(ExpertSession):
    """Knows the answer; accepts what agrees with it; a bonus where it is told so."""

    def __init__(
        self,
        answer: list[int],
        *,
        bonus: bool = False,
        forgets: bool = False,
        delays: Iterator[int] = AT_ONCE,
        defers: Collection[int] = (),
    ) -> None:
        self.answer, self.bonus, self.forgets, self.delays = answer, bonus, forgets, delays
        self.defers = defers
        """Where it rejects whatever was drafted, to emit its own, which may be the same."""
        self.tokens: list[int] = []
        self.blocks: list[int] = []
        self._verdicts: deque[expert_pb2.Verdict] = deque()

    async def start_verify(
        self,
        position: int,
        append: Sequence[int],
        prefix_hash: int,
        block: Sequence[law_pb2.DraftedToken],
    ) -> None:
        self._verdicts.append(self.decide(position, append, prefix_hash, block))

    async def verdict(self) -> expert_pb2.Verdict:
        for _ in range(next(self.delays)):
            await asyncio.sleep(0)
        return self._verdicts.popleft()

    def decide(
        self,
        position: int,
        append: Sequence[int],
        prefix_hash: int,
        block: Sequence[law_pb2.DraftedToken],
    ) -> expert_pb2.Verdict:
        known = self.tokens[:position] + list(append)
        stale = position > len(self.tokens) or TokenSequence(known).hash() != prefix_hash
        if stale:
            return expert_pb2.Verdict(stale=True)
        assert known == self.answer[: len(known)], "nothing predicted is given as decided"
        verdict = expert_pb2.Verdict(position=len(known))
        if not block:
            self.tokens = known
            return verdict
        self.blocks.append(len(block))
        for token in block:
            right = self.answer[len(known)]
            known.append(right)
            if token.id == right and len(known) - 1 not in self.defers:
                verdict.accepted += 1
                verdict.tokens.add(id=right, origin=expert_pb2.ORIGIN_ACCEPTED)
                if right == END:
                    break
            else:
                verdict.tokens.add(id=right, origin=expert_pb2.ORIGIN_RESAMPLED)
                break
        else:
            if self.bonus:
                verdict.tokens.add(id=self.answer[len(known)], origin=expert_pb2.ORIGIN_BONUS)
                known.append(self.answer[len(known)])
        self.tokens = known
        if self.forgets:
            self.tokens, self.forgets = [], False
        return verdict

    def close(self) -> None:
        """A fake holds no slot."""

    async def decode(
        self, position: int, append: Sequence[int], prefix_hash: int, max_tokens: int
    ) -> AsyncGenerator[expert_pb2.DecodedTokens, None]:
        known = self.tokens[:position] + list(append)
        assert TokenSequence(known).hash() == prefix_hash
        for i in range(max_tokens):
            token = self.answer[len(known)]
            known.append(token)
            self.tokens = known
            last = i + 1 == max_tokens or token == END
            yield expert_pb2.DecodedTokens(
                tokens=[expert_pb2.EmittedToken(id=token, origin=expert_pb2.ORIGIN_EXPERT)],
                last=last,
            )
            if last:
                return


def task(
    mode: int,
    drafter: FakeDrafter,
    expert: FakeExpert,
    max_tokens: int = 20,
    block_length: int | None = None,
    temperature: float = 0.0,
    draft_ahead: int = 0,
    alternatives: int = 0,
    history: History | None = None,
    early_stop: float | None = 0.0,
) -> Task:
    law = law_pb2.Law(
        mode=law_pb2.Mode.ValueType(mode), rule=law_pb2.RULE_LOSSLESS, temperature=temperature
    )
    request = Request(
        prompt=[7, 8, 9],
        law=law,
        max_tokens=max_tokens,
        block_length=block_length,
        stop_strings=(),
        end_token_ids=frozenset({END}),
        stop_token_ids=frozenset(),
        early_stop=early_stop,
        log_probs=False,
        echo_prompt=False,
        overlap=Overlap(draft_ahead, alternatives),
        allow_expert_alone=history is not None,
    )

    async def open_drafter() -> DrafterSession:
        return drafter

    async def open_expert() -> ExpertSession:
        return expert

    def new_answer() -> Answer:
        return Answer(request, AnswerText(TOKENIZER))

    return Task(request, Recorder(law), history or History(), open_drafter, open_expert, new_answer)


async def run(task: Task) -> list[int]:
    out = []
    async for emitted in STRATEGIES[task.request.law.mode](task):
        assert emitted, "a round gives at least one token"
        out += [t.id for t in emitted]
    return out
