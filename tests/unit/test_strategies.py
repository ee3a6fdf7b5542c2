"""The strategies over fakes: what they ask of the two sessions, and in which order."""

from collections.abc import AsyncIterator, Sequence

import pytest
from cascade.v1 import drafter_pb2, expert_pb2, law_pb2

from router.answer import Answer
from router.recorder import Recorder
from router.request import Request
from router.sessions import DrafterSession, ExpertSession
from router.strategies import STRATEGIES, Task
from router.text import AnswerText
from services.errors import EngineFailed
from services.tokens import TokenSequence
from tests.unit.text_samples import byte_level

END = 99
TOKENIZER = byte_level()


class FakeDrafter:
    """Drafts the tokens of a script, by position."""

    def __init__(self, script: list[int]) -> None:
        self.script = script
        self.tokens: list[int] = []
        self.asked: list[tuple[int, int]] = []

    async def draft(
        self,
        position: int,
        append: Sequence[int],
        max_tokens: int,
        *,
        piece_length: int = 0,
        early_stop: float = 0.0,
    ) -> AsyncIterator[drafter_pb2.DraftedBlock]:
        assert position <= len(self.tokens)
        self.tokens = self.tokens[:position] + list(append)
        self.asked.append((len(self.tokens), max_tokens))
        block = self.script[len(self.tokens) : len(self.tokens) + max_tokens]
        if END in block:
            block = block[: block.index(END) + 1]
        self.tokens += block
        size = piece_length or len(block)
        for i in range(0, len(block), size):
            yield drafter_pb2.DraftedBlock(
                tokens=[law_pb2.DraftedToken(id=t) for t in block[i : i + size]],
                last=i + size >= len(block),
            )

    def close(self) -> None:
        """A fake holds no slot."""


class FakeExpert:
    """Knows the answer; accepts what agrees with it; a bonus where it is told so."""

    def __init__(self, answer: list[int], *, bonus: bool = False, forgets: bool = False) -> None:
        self.answer, self.bonus, self.forgets = answer, bonus, forgets
        self.tokens: list[int] = []
        self.blocks: list[int] = []

    async def verify(
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
        verdict = expert_pb2.Verdict(position=len(known))
        self.blocks.append(len(block))
        for token in block:
            right = self.answer[len(known)]
            known.append(right)
            if token.id == right:
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

    async def decode(
        self, position: int, append: Sequence[int], prefix_hash: int, max_tokens: int
    ) -> AsyncIterator[expert_pb2.DecodedTokens]:
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
) -> Task:
    law = law_pb2.Law(
        mode=law_pb2.Mode.ValueType(mode), rule=law_pb2.RULE_LOSSLESS, temperature=temperature
    )
    request = Request(
        [7, 8, 9], law, max_tokens, block_length, (), frozenset({END}), frozenset(), 0, False, False
    )

    async def open_drafter() -> DrafterSession:
        return drafter

    async def open_expert() -> ExpertSession:
        return expert

    def new_answer() -> Answer:
        return Answer(request, AnswerText(TOKENIZER))

    return Task(request, Recorder(law), open_drafter, open_expert, new_answer)


async def run(task: Task) -> list[int]:
    out = []
    async for emitted in STRATEGIES[task.request.law.mode](task):
        assert emitted, "a round gives at least one token"
        out += [t.id for t in emitted]
    return out


RIGHT = [7, 8, 9, *range(10, 60)]
WRONG = [7, 8, 9, *(t if i % 4 else 0 for i, t in enumerate(range(10, 60)))]
ENDING = [7, 8, 9, *range(10, 17), END, *range(18, 60)]


@pytest.mark.parametrize("block_length", [None, 1, 2, 5, 8])
@pytest.mark.parametrize("script", [RIGHT, WRONG, [7, 8, 9, *[0] * 50]])
@pytest.mark.parametrize("bonus", [False, True])
@pytest.mark.parametrize("max_tokens", [1, 2, 20])
async def test_the_answer_is_the_experts(
    block_length: int | None, script: list[int], bonus: bool, max_tokens: int
) -> None:
    """Perfect match, misses of some, misses of all; never a token too many."""
    made = task(
        law_pb2.MODE_SPECULATIVE,
        FakeDrafter(script),
        FakeExpert(RIGHT, bonus=bonus),
        max_tokens,
        block_length,
        temperature=0.0 if bonus else 1.0,
    )
    assert await run(made) == RIGHT[3 : 3 + max_tokens]
    assert sum(made.recorder.statistics().tokens_by_origin.values()) == max_tokens


async def test_an_accepted_end_token_is_the_last() -> None:
    for block_length in (1, 3, 8):
        made = task(
            law_pb2.MODE_SPECULATIVE,
            FakeDrafter(ENDING),
            FakeExpert(ENDING, bonus=True),
            block_length=block_length,
        )
        assert await run(made) == [*range(10, 17), END]


async def test_without_a_bonus_one_token_more_is_drafted() -> None:
    lengths = {}
    for temperature, bonus in ((0.0, True), (1.0, False)):
        drafter = FakeDrafter(RIGHT)
        await run(
            task(
                law_pb2.MODE_SPECULATIVE,
                drafter,
                FakeExpert(RIGHT, bonus=bonus),
                temperature=temperature,
            )
        )
        lengths[bonus] = drafter.asked[0][1]
    assert lengths[False] == lengths[True] + 1


async def test_a_forgetful_expert_gets_a_replay() -> None:
    made = task(
        law_pb2.MODE_SPECULATIVE, FakeDrafter(WRONG), FakeExpert(RIGHT, forgets=True), temperature=1
    )
    assert await run(made) == RIGHT[3:23]


async def test_an_expert_that_is_always_stale_is_an_error() -> None:
    class Stale(FakeExpert):
        async def verify(self, *args: object, **kwargs: object) -> expert_pb2.Verdict:
            return expert_pb2.Verdict(stale=True)

    with pytest.raises(EngineFailed, match="stale"):
        await run(task(law_pb2.MODE_SPECULATIVE, FakeDrafter(RIGHT), Stale(RIGHT)))


@pytest.mark.parametrize("block_length", [None, 1, 3, 7])
@pytest.mark.parametrize("mode", [law_pb2.MODE_DRAFTER, law_pb2.MODE_EXPERT])
async def test_one_model_alone(mode: int, block_length: int | None) -> None:
    for answer, expected in ((RIGHT, RIGHT[3:23]), (ENDING, [*range(10, 17), END])):
        made = task(mode, FakeDrafter(answer), FakeExpert(answer), block_length=block_length)
        assert await run(made) == expected
        steps = -(-len(expected) // (block_length or 20))
        assert made.recorder.statistics().rounds == steps


async def test_statistics_of_a_known_course() -> None:
    """Every fourth draft is wrong: blocks of 8 are cut at the first miss."""
    made = task(
        law_pb2.MODE_SPECULATIVE,
        FakeDrafter(WRONG),
        FakeExpert(RIGHT),
        max_tokens=12,
        block_length=8,
        temperature=1.0,
    )
    await run(made)
    stats = made.recorder.statistics()
    # Misses at answer positions 0, 4 and 8: blocks of 8, 8 and 7; then 3 right ones.
    assert (stats.rounds, stats.drafted) == (4, 8 + 8 + 7 + 3)
    assert (stats.accepted, stats.reached) == (0 + 3 + 3 + 3, 1 + 4 + 4 + 3)
    assert list(stats.accepted_by_position) == [3, 3, 3]
    assert stats.acceptance_rate == pytest.approx(9 / 12)
    assert stats.draft_efficiency == pytest.approx(9 / 26)
    assert dict(stats.tokens_by_origin) == {"ORIGIN_RESAMPLED": 3, "ORIGIN_ACCEPTED": 9}
