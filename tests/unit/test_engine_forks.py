"""Forks of a session: drafted in the same passes, taken over where the tokens go on from them."""

from collections.abc import Iterator

import pytest
import torch
from cascade.v1 import drafter_pb2 as pb
from cascade.v1 import law_pb2

from services.engine.engine import Engine
from services.engine.model import load
from services.engine.pages import PAGE
from services.engine.passes import PassReport
from services.errors import InvalidField
from services.pod.law import SessionLaw
from services.serving import law as laws
from tests.services import TINY
from tests.unit.drafting import Drafting, ids

PAGES = 12
PROMPT = list(b"def add(a, b):\n    return")

passes: list[PassReport] = []


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    torch.set_num_threads(1)
    whole = load(TINY / "drafter", device="cpu", dtype="float32").facts
    budget = PAGES * PAGE * whole.cache_bytes // whole.cache_tokens
    engine = Engine(
        lambda: load(TINY / "drafter", device="cpu", dtype="float32", cache_bytes=budget),
        report=passes.append,
    )
    yield engine
    engine.stop()


@pytest.fixture(autouse=True)
def frees_all_pages(engine: Engine) -> Iterator[None]:
    yield
    pool = engine.model.cache.pool
    assert pool.free == pool.total


@pytest.fixture(params=[0.0, 0.9])
def law(request: pytest.FixtureRequest) -> SessionLaw:
    law = law_pb2.Law(
        mode=law_pb2.MODE_SPECULATIVE, top_p=1, candidates=16, temperature=request.param, seed=5
    )
    return SessionLaw.from_proto(laws.with_defaults(law, alpha_given=False))


def alone(engine: Engine, law: SessionLaw, tokens: list[int], n: int) -> list[int]:
    """What is drafted after some tokens in a session of their own."""
    fresh = Drafting(engine, law)
    fresh.submit(pb.DraftStep(append=tokens, max_tokens=n))
    drafted = ids(fresh.block())
    fresh.close()
    return drafted


def test_a_fork_drafts_what_a_session_of_its_tokens_would(engine: Engine, law: SessionLaw) -> None:
    one = Drafting(engine, law)
    one.submit(pb.DraftStep(append=PROMPT, max_tokens=4, alternatives=2))
    first = one.block()
    assert [len(known.ids) for known in first.alternatives] == [2] * 4
    assert all(token not in k.ids for token, k in zip(ids(first), first.alternatives, strict=True))
    base = len(PROMPT)
    forks = [
        pb.Fork(position=base + j, id=first.alternatives[j].ids[r]) for j, r in ((0, 0), (2, 1))
    ]
    passes.clear()
    one.submit(pb.DraftStep(position=base + 4, max_tokens=5, forks=forks, fork_tokens=3))
    forked, second = one.forks(), one.block()
    assert [report.sessions for report in passes].count(3) == 3, "in the same passes"
    whole = PROMPT + ids(first)
    assert ids(second) == alone(engine, law, whole, 5)
    for fork, block in zip(forks, forked.blocks, strict=True):
        assert ids(block) == alone(engine, law, [*whole[: fork.position], fork.id], 3)
        assert block.position == fork.position + 1
    one.close()


def test_what_a_fork_has_seen_is_taken_over(engine: Engine, law: SessionLaw) -> None:
    one = Drafting(engine, law)
    one.submit(pb.DraftStep(append=PROMPT, max_tokens=4))
    whole = PROMPT + ids(one.block())
    fork = pb.Fork(position=len(PROMPT) + 1, id=33)
    one.submit(pb.DraftStep(position=len(whole), max_tokens=3, forks=[fork], fork_tokens=3))
    one.block()
    tokens = [fork.id, *ids(one.forks().blocks[0])]
    one.submit(pb.DraftStep(position=fork.position, append=tokens, max_tokens=2))
    block = one.block()
    assert ids(block) == alone(engine, law, [*whole[: fork.position], *tokens], 2)
    assert block.timing.tokens == 2, "only the last token of the fork was still to be fed"
    one.close()


def test_a_newer_step_ends_the_forks_of_the_one_before(engine: Engine, law: SessionLaw) -> None:
    one = Drafting(engine, law)
    one.submit(pb.DraftStep(append=PROMPT, max_tokens=1))
    one.block()
    fork = pb.Fork(position=3, id=33)
    long = pb.DraftStep(
        step_id=1, position=len(PROMPT), max_tokens=60, forks=[fork], fork_tokens=60
    )
    one.submit(long)
    one.submit(pb.DraftStep(step_id=2, position=len(PROMPT), max_tokens=1))
    assert one.block().step_id == 2
    engine.drain(one.session).result(20)
    assert one.results.empty()
    one.close()


def test_a_fork_without_room_has_no_block_and_takes_nothing(
    engine: Engine, law: SessionLaw
) -> None:
    other, one = Drafting(engine, law), Drafting(engine, law)
    held = list(range(100))
    other.submit(pb.DraftStep(append=held, max_tokens=1))
    other.block()
    one.submit(pb.DraftStep(append=PROMPT, max_tokens=1))
    one.block()
    forks = [pb.Fork(position=len(PROMPT) - 1 - i, id=33) for i in range(8)]
    one.submit(pb.DraftStep(position=len(PROMPT), max_tokens=2, forks=forks, fork_tokens=40))
    block, forked = one.block(), one.forks()
    assert len(block.tokens) == 2
    lengths = [len(block.tokens) for block in forked.blocks]
    assert 0 in lengths
    assert set(lengths) <= {0, 40}
    assert other.session.slot.length == len(held), "it lost nothing"
    other.close()
    one.close()


def test_forks_give_way_before_another_session_does(engine: Engine, law: SessionLaw) -> None:
    """They hold what is left when their session needs another page."""
    other, one = Drafting(engine, law), Drafting(engine, law)
    held = list(range(100))
    other.submit(pb.DraftStep(append=held, max_tokens=1))
    other.block()
    prompt = list(b"def add(a, b):\n    return a + b")  # two pages, but for two tokens
    one.submit(pb.DraftStep(append=prompt, max_tokens=1))
    (token,) = ids(one.block())
    forks = [pb.Fork(position=len(prompt) - 1 - i, id=33) for i in range(6)]
    one.submit(
        pb.DraftStep(position=len(prompt), append=[token], max_tokens=6, forks=forks, fork_tokens=4)
    )
    forked, block = one.forks(), one.block()  # those that gave way have none, at once
    assert len(block.tokens) == 6
    assert not any(block.tokens for block in forked.blocks)
    assert other.session.slot.length == len(held), "it lost nothing"
    other.close()
    one.close()


def test_a_fork_that_has_much_to_see_is_not_drafted(engine: Engine, law: SessionLaw) -> None:
    """After a replay it would see the whole prompt beside its session."""
    one = Drafting(engine, law)
    unknown = [int(50 * law.law.sampling.temperature) + i for i in range(150, 174)]
    forks = [pb.Fork(position=20, id=33)]
    one.submit(pb.DraftStep(append=unknown, max_tokens=2, forks=forks, fork_tokens=2))
    assert not one.forks().blocks[0].tokens
    assert len(one.block().tokens) == 2
    one.close()


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (pb.DraftStep(append=PROMPT, alternatives=9), "alternatives: must be at most 8, got 9"),
        (pb.DraftStep(append=PROMPT, forks=[pb.Fork()]), "fork_tokens: must be 1 to 1024, got 0"),
        (
            pb.DraftStep(append=[1, 2], forks=[pb.Fork(position=2)], fork_tokens=1),
            r"forks\[0\].position: must be below 2, got 2",
        ),
        (
            pb.DraftStep(append=[1, 2], forks=[pb.Fork(id=300)], fork_tokens=1),
            r"forks\[0\].id\[0\]: must be below 257, got 300",
        ),
        (
            pb.DraftStep(append=PROMPT, forks=[pb.Fork()] * 65, fork_tokens=1),
            "forks: must be at most 64, got 65",
        ),
        (
            pb.DraftStep(append=PROMPT, forks=[pb.Fork(position=9)], fork_tokens=1023),
            "the session would have 1033 tokens",
        ),
    ],
)
def test_forks_that_can_not_be(
    engine: Engine, law: SessionLaw, request_: pb.DraftStep, text: str
) -> None:
    one = Drafting(engine, law)
    with pytest.raises(InvalidField, match=text):
        one.submit(request_)
    one.close()
