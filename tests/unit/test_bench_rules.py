"""All rules side by side: their regret, and the report."""

import json
from pathlib import Path

import pytest
import torch

from bench.rules.measure import Curves, Measured
from bench.rules.plot import save_plot
from bench.rules.prompts import prompts_of
from bench.rules.regret import regret
from bench.rules.report import best_within, to_json, to_markdown
from services.calibrate.grids import default_alphas
from services.calibrate.outcome import evaluate
from services.calibrate.setting import Setting
from services.rules.distribution import Sampling, candidates, scaled
from services.rules.registry import RULES
from tests.unit.calibration_samples import a_point
from tests.unit.test_bench_report import MACHINE
from tests.unit.test_calibrate_positions import SIZE, K, rebuilt, rows

# Of distance 0, 0.04, 0.09.
POINTS = [Measured(a_point(alpha), regret=1 + alpha) for alpha in (0.0, 0.4, 0.9)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("name", RULES)
def test_regret_is_what_it_is_on_whole_rows(name: str, temperature: float) -> None:
    """The tokens that are not listed count, too."""
    sampling = Sampling(temperature)
    drafter, expert = rows(6), rows(7)
    at = rebuilt(drafter, expert, sampling)
    q = candidates(drafter, sampling, K).dense(SIZE, torch.float64)
    p = scaled(expert, sampling).double()
    q1, p1 = drafter.double().softmax(-1), expert.double().softmax(-1)
    for alpha in default_alphas(name)[::4]:
        pi = RULES[name].pi(q1, p1, q, p, alpha)
        expected = (pi * (p1.amax(-1, keepdim=True) / p1).log()).sum(-1)
        found = regret(RULES[name], alpha, at, greedy=temperature == 0)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("name", RULES)
def test_no_rule_buys_more_than_its_distance(name: str, temperature: float) -> None:
    """What the report says: the triangle inequality, met by all whose pi lies between q and p."""
    at = rebuilt(rows(8), rows(9), Sampling(temperature))
    lossless = evaluate(RULES["lossless"], 0.0, at).acceptance
    between = temperature == 0 or not RULES[name].per_token
    for alpha in default_alphas(name):
        outcome = evaluate(RULES[name], alpha, at)
        spare = lossless + outcome.distance - outcome.acceptance
        assert float(spare.min()) > -1e-6
        if between:
            assert float(spare.max()) < 1e-6


def some_curves() -> Curves:
    return Curves(
        pair="tiny",
        prompts_are="openings",
        setting=Setting(temperature=1.0),
        prompts=3,
        tokens=90,
        lossless=Measured(a_point(0.0, shared=False), regret=1.0),
        rules={"chow": POINTS[:1], "token_v3": POINTS, "lossy": []},
    )


@pytest.mark.parametrize(("budget", "alpha"), [(0.01, 0.0), (0.04, 0.4), (0.05, 0.4), (0.2, 0.9)])
def test_the_most_acceptance_within_a_distance(budget: float, alpha: float) -> None:
    best = best_within(POINTS, lambda measured: measured.point.distance.mean, budget)
    assert best is not None
    assert best.point.alpha == alpha


def test_the_report(tmp_path: Path) -> None:
    """The rule that buys the most comes first; JSON has every point."""
    curves = some_curves()
    picture = save_plot(curves, tmp_path / "images")
    assert picture.name == "rules-tiny-t1.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = to_markdown(MACHINE, [curves], ["../images/rules-tiny-t1.png"])
    assert "](../images/rules-tiny-t1.png)" in text
    cells = [line for line in text.splitlines() if line.startswith(("| chow", "| token", "| los"))]
    assert cells == [
        "| token_v3 | 0.500 (0) | 0.500 (0) | 0.700 (0.4) | 0.950 (0.9) | 0.950 (0.9) |",
        "| chow | 0.500 (0) | 0.500 (0) | 0.500 (0) | 0.500 (0) | 0.500 (0) |",
        "| lossy | - | - | - | - | - |",
        "| chow | 0.500 (0) | 0.500 (0) | 0.500 (0) | 0.500 (0) | 0.500 (0) |",
        "| token_v3 | 0.500 (0) | 0.500 (0) | 0.500 (0) | 0.500 (0) | 0.500 (0) |",
        "| lossy | - | - | - | - | - |",
    ]
    values = json.loads(json.dumps(to_json(MACHINE, [curves]), allow_nan=False))
    found = values["curves"][0]["rules"]["token_v3"]
    assert [(p["alpha"], p["regret"]) for p in found] == [(0, 1), (0.4, 1.4), (0.9, 1.9)]


def test_prompts() -> None:
    assert len(prompts_of("tiny")[1]) >= 6
    problems = prompts_of("qwen2.5-coder")[1]
    assert [p.name for p in problems[:2]] == ["HumanEval/0", "HumanEval/20"]
    assert [p.name for p in prompts_of("qwen2.5-coder", 3)[1]] == [p.name for p in problems[:3]]
