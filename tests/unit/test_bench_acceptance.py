"""What accepting costs: medians, shares, limits, the report; and the steps on the tiny pair."""

from collections.abc import Iterator
from typing import Any

import pytest
from cascade.v1 import law_pb2

from bench.acceptance import drafting
from bench.acceptance.batch import make_batch
from bench.acceptance.cases import CASES, Case
from bench.acceptance.measure import CONTEXT, Drafted, Measured, draft, measure
from bench.acceptance.operations import Operation, operations, shown
from bench.acceptance.report import Run, findings, to_json, to_markdown
from bench.acceptance.steps import Timed
from bench.acceptance.summary import Growth, Summary, growth, summarise
from bench.acceptance.verifying import Expert
from bench.pair import Pair
from bench.progress import Bar, progress_bar
from bench.prompts import Prompt
from services.engine.model import load
from services.rules.acceptance import Verdicts, verify
from services.serving import law as laws
from tests.services import TINY
from tests.unit.test_bench_report import MACHINE, row

RESIDUAL = Case(law_pb2.RULE_TOKEN_V3, 0.7, 0.9)
COUPLED = Case(law_pb2.RULE_LOSSLESS, 1.0, coupling=law_pb2.COUPLING_GUMBEL)
GREEDY = Case(law_pb2.RULE_LOSSLESS, 0.0)
TINY_PAIR = Pair(TINY / "drafter", TINY / "expert", "float32")
PROMPTS = [
    Prompt("short", tuple(b"The list type has"), chat=False),
    Prompt("long", tuple(b"A class is a template for objects. " * 6), chat=False),
]


@pytest.fixture
def bar() -> Iterator[Bar]:
    with progress_bar(1) as bar:
        yield bar


@pytest.fixture(scope="module")
def drafted() -> Drafted:
    return draft(TINY_PAIR, PROMPTS, [RESIDUAL, COUPLED, GREEDY])


@pytest.fixture(scope="module")
def expert(drafted: Drafted) -> Expert:
    model = load(TINY_PAIR.expert, device="cpu", dtype="float32")
    return Expert(model, drafted.contexts, RESIDUAL)


def test_medians_and_the_share_of_the_pass() -> None:
    found = summarise(6, [Timed(0.1, 0.004), Timed(0.2, 0.006), Timed(0.9, 0.005)])
    assert (found.rows, found.pass_ms, found.after_ms) == pytest.approx((6, 200, 5))
    assert found.share == pytest.approx(0.025)


def test_a_session_of_a_batch_against_a_session_alone() -> None:
    found = growth(16, alone_s=[0.032, 0.032, 0.9], together_s=[0.064])
    assert (found.alone_ms, found.together_ms) == pytest.approx((2, 4))
    assert found.ratio == pytest.approx(2)


def of(case: Case, *, share: float = 0.03, ratio: float = 1.0) -> Measured:
    steps = {(case, n): Summary(n, pass_ms=100, after_ms=100 * share) for n in (5, 6)}
    return Measured(steps, {case: Growth(16, alone_ms=2.0, together_ms=2 * ratio)})


def test_only_what_is_above_a_limit_is_told() -> None:
    assert findings(of(RESIDUAL, share=0.04)) == ["Every figure is within its limit"]
    assert findings(of(COUPLED, share=0.08)) == ["Every figure is within its limit"]
    assert findings(of(RESIDUAL, share=0.05)) == [
        f"Above its limit: token_v3 residual, T 0.7, top_p 0.9, block of {n}: 5.0% of the pass, at "
        "most 4%"
        for n in (5, 6)
    ]
    assert len(findings(of(COUPLED, share=0.09))) == 2
    assert findings(of(GREEDY, ratio=1.5)) == [
        "Above its limit: lossless greedy: a session among 16 takes 1.50 times what it takes "
        "alone, at most 1"
    ]


def test_every_case_is_a_law_that_can_be() -> None:
    for case in CASES:
        laws.check(case.law(3))
        assert case.law(3).seed == 3
        assert case.limit == (0.08 if "coupled" in case.name else 0.04)
    assert len({case.name for case in CASES}) == len(CASES) == 17


def a_run(measured: Measured) -> Run:
    return Run(
        machine=MACHINE,
        models=("pair/drafter", "pair/expert"),
        dtype="bfloat16",
        vocabulary_size=1000,
        threads=2,
        contexts=9,
        repeats=27,
        measured=measured,
    )


def test_the_report_has_figures_beside_limits() -> None:
    text = to_markdown(a_run(of(RESIDUAL)))
    steps, alone = row(text, RESIDUAL.name), row(text, RESIDUAL.name, 1)
    assert steps == ["5", "100.0", "3.00", "3.0%", "6", "100.0", "3.00", "3.0%", "4%"]
    assert alone == ["2.00", "2.00", "1.00", "1"]
    for fact in (
        "A processor",
        "pair/expert",
        "bfloat16",
        "1,000 tokens",
        "2 threads",
        "9 contexts",
    ):
        assert fact in text


def test_the_json_has_the_same() -> None:
    values: dict[str, Any] = to_json(a_run(of(RESIDUAL)))
    law = values["laws"][RESIDUAL.name]
    assert law["steps"]["5"] == {"rows": 5, "pass_ms": 100, "after_ms": 3.0, "share": 0.03}
    assert law["rules_alone"]["ratio"] == 1.0
    assert law["law"]["temperature"] == 0.7


def test_operations_are_shown_longest_first() -> None:
    text = shown(RESIDUAL, [Operation("aten::topk", 2.0, 1.0), Operation("aten::exp", 1.0, 3.0)])
    assert text.startswith(f"## {RESIDUAL.name}: 3.00 ms")
    assert row(text, "aten::topk") == ["2.000", "1.0"]


def test_contexts_end_in_an_answer(drafted: Drafted) -> None:
    short, long = drafted.contexts
    assert len(short) == len(long) == CONTEXT
    assert tuple(short[: len(PROMPTS[0].token_ids)]) == PROMPTS[0].token_ids
    rest = CONTEXT - drafting.LEAST_ANSWER
    assert tuple(long[:rest]) == PROMPTS[1].token_ids[-rest:]


def test_blocks_carry_what_their_law_needs(drafted: Drafted) -> None:
    for case, blocks in drafted.blocks.items():
        assert [len(block) for block in blocks] == [6, 6]
        crosses = all(token.candidates.ids for block in blocks for token in block)
        assert crosses == (case is RESIDUAL)


def test_every_law_is_measured_on_the_tiny_pair(drafted: Drafted, expert: Expert, bar: Bar) -> None:
    cases = list(drafted.blocks)
    found = measure(expert, drafted, cases, 2, bar)
    assert {key: step.rows for key, step in found.steps.items()} == {
        (RESIDUAL, 5): 5,
        (RESIDUAL, 6): 6,
        (COUPLED, 5): 6,
        (COUPLED, 6): 7,
        (GREEDY, 5): 6,
        (GREEDY, 6): 7,
    }
    assert all(step.pass_ms > 0 and step.after_ms > 0 for step in found.steps.values())
    assert list(found.batches) == cases


def test_a_verdict_follows_each_context_anew(drafted: Drafted, expert: Expert) -> None:
    """What one step emitted is gone when the next one begins."""
    lengths = []
    for _ in range(2):
        expert.verify(RESIDUAL, 1, drafted.blocks[RESIDUAL][1])
        lengths.append(len(expert.sessions[1].tokens))
    assert CONTEXT < lengths[0] == lengths[1] <= CONTEXT + 6


@pytest.mark.parametrize("case", [RESIDUAL, COUPLED, GREEDY], ids=lambda case: case.name)
def test_a_batch_is_its_sessions(case: Case, drafted: Drafted, expert: Expert) -> None:
    """One call for several sessions gives the verdicts of the calls for each."""
    batch = make_batch(expert, case, drafted.blocks[case], 5)
    bonus = batch.law.allows_bonus
    many = verify(batch.law, batch.logits, batch.drafts, batch.seeds, batch.positions, bonus=bonus)
    each: list[Verdicts] = [
        verify(
            batch.law,
            batch.logits[i : i + 1],
            batch.each[i],
            batch.seeds[i : i + 1],
            batch.positions[i : i + 1],
            bonus=bonus,
        )
        for i in range(5)
    ]
    assert many.accepted.tolist() == [v.accepted.item() for v in each]
    assert many.token.tolist() == [v.token.item() for v in each]
    assert batch.alone() > 0
    assert batch.together() > 0


def test_the_work_after_a_pass_has_operations(drafted: Drafted, expert: Expert) -> None:
    found = operations(expert, RESIDUAL, drafted.blocks[RESIDUAL])
    assert {"aten::topk", "aten::scatter_"} & {operation.name for operation in found}
    assert [o.self_ms for o in found] == sorted((o.self_ms for o in found), reverse=True)
