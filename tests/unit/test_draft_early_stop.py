"""Drafts that end with a token of which the drafter is unsure."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import mul
from typing import Any

import pytest
import torch
from cascade.v1 import drafter_pb2 as pb
from cascade.v1 import law_pb2

from services.engine.batch import Part
from services.engine.engine import Engine
from services.engine.model import load
from services.pod.law import SessionLaw
from services.serving import law as laws
from tests.services import TINY
from tests.unit.drafting import Drafting, ids

PROMPT = list(b"Return the number of ")
LAWS: dict[str, dict[str, Any]] = {
    "greedy": {"mode": law_pb2.MODE_SPECULATIVE, "temperature": 0},
    "residual": {"mode": law_pb2.MODE_SPECULATIVE, "temperature": 0.9, "top_p": 0.9},
    "diff": {
        "mode": law_pb2.MODE_SPECULATIVE_CASCADE,
        "rule": law_pb2.RULE_DIFF,
        "temperature": 0.7,
    },
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    torch.set_num_threads(1)
    engine = Engine(lambda: load(TINY / "drafter", device="cpu", dtype="float32"))
    yield engine
    engine.stop()


@pytest.fixture(params=LAWS)
def drafting(engine: Engine, request: pytest.FixtureRequest) -> Iterator[Drafting]:
    law = law_pb2.Law(**{"candidates": 16, "top_p": 1, "seed": 5, **LAWS[request.param]})
    law = laws.with_defaults(law, alpha_given=False)
    drafting = Drafting(engine, SessionLaw.from_proto(law))
    yield drafting
    drafting.close()


def assert_same(
    tokens: Sequence[law_pb2.DraftedToken], expected: Sequence[law_pb2.DraftedToken]
) -> None:
    """Up to what other shapes of a pass change: the last bits of a sum, so a drop by one unit."""
    assert [token.id for token in tokens] == [token.id for token in expected]
    for token, other in zip(tokens, expected, strict=True):
        assert token.top_log_prob == pytest.approx(other.top_log_prob, abs=1e-4)
        drops, others = (
            dict(zip(one.candidates.ids, one.candidates.drops, strict=True))
            for one in (token, other)
        )
        assert drops == pytest.approx(others, abs=1)


def drafted(drafting: Drafting) -> pb.DraftedBlock:
    drafting.submit(pb.DraftStep(append=PROMPT, max_tokens=12, top_probs=True))
    return drafting.block()


def test_top_probs_are_the_models_own_unscaled_ones(drafting: Drafting) -> None:
    block = drafted(drafting)
    model = load(TINY / "drafter", device="cpu", dtype="float32")
    slot, tokens = model.new_slot(), [*PROMPT, *ids(block)][:-1]
    slot.reserve(len(tokens))
    logits = model.run([Part(slot, tokens, rows=12)])
    assert list(block.top_probs) == pytest.approx(logits.softmax(-1).amax(-1).tolist(), rel=1e-4)


def test_a_draft_ends_with_the_first_token_below(drafting: Drafting) -> None:
    """For any threshold; what it has up to there is the same."""
    whole = drafted(drafting)
    probs = list(whole.top_probs)
    assert len(probs) == len(whole.tokens) == 12
    lengths = set()
    for threshold in (min(probs), *sorted(probs)[1::2], 1.0):
        threshold += 1e-6  # the block's are rounded to float32
        drafting.submit(
            pb.DraftStep(position=len(PROMPT), max_tokens=12, early_stop=min(threshold, 1.0))
        )
        block = drafting.block()
        below = [j for j, prob in enumerate(probs) if prob < threshold]
        assert_same(block.tokens, whole.tokens[: below[0] + 1])
        assert block.last
        assert not block.top_probs, "nobody asked for them"
        lengths.add(len(block.tokens))
    assert len(lengths) >= 2


@pytest.mark.parametrize("ranges", [1, 10, 64])
def test_a_draft_ends_where_it_is_seldom_accepted_as_a_whole(
    drafting: Drafting, ranges: int
) -> None:
    """The token with which the product of the chances falls below the least one is the last."""
    acceptance = [(i + 0.5) / ranges for i in range(ranges)]
    whole = drafted(drafting)
    probs = list(whole.top_probs)
    chances = list(accumulate((acceptance[int(prob * ranges)] for prob in probs), mul))
    for least in (chances[0], *chances[2::3], 1.0):
        drafting.submit(
            pb.DraftStep(
                position=len(PROMPT), max_tokens=12, acceptance=acceptance, least_chance=least
            )
        )
        # Up to the rounding of the chances to float32.
        lengths = {
            next((j for j, chance in enumerate(chances, 1) if chance < bound), 12)
            for bound in (0.9999 * least, 1.0001 * least)
        }
        block = drafting.block()
        assert len(block.tokens) in lengths
        assert ids(block) == ids(whole)[: len(block.tokens)]


def test_forks_stop_and_report_alike(drafting: Drafting) -> None:
    drafted(drafting)
    fork = pb.Fork(position=len(PROMPT) + 2, id=33)
    length = len(PROMPT) + 12

    def forked(
        early_stop: float = 0, acceptance: Sequence[float] = (), least_chance: float = 0
    ) -> pb.DraftedBlock:
        drafting.submit(
            pb.DraftStep(
                position=length,
                max_tokens=6,
                forks=[fork],
                fork_tokens=6,
                early_stop=early_stop,
                acceptance=acceptance,
                least_chance=least_chance,
                top_probs=True,
            )
        )
        results = [drafting.results.get(timeout=20) for _ in range(2)]
        (forks,) = (result for result in results if isinstance(result, pb.DraftedForks))
        return forks.blocks[0]

    whole = forked()
    assert len(whole.top_probs) == len(whole.tokens) == 6
    threshold = sorted(whole.top_probs)[3] + 1e-6
    stop = next(j for j, prob in enumerate(whole.top_probs) if prob < threshold)
    stopped = forked(early_stop=threshold)
    assert ids(forked(acceptance=[0.5], least_chance=0.25)) == ids(whole)[:3]
    assert ids(stopped) == ids(whole)[: stop + 1]
    assert list(stopped.top_probs) == pytest.approx(list(whole.top_probs)[: stop + 1], rel=1e-4)
