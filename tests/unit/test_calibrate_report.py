"""What is told of a calibration: to people, to programs, as a picture."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cascade.v1 import router_pb2

from services.calibrate.estimate import Estimate
from services.calibrate.live import summarise
from services.calibrate.plain import plain
from services.calibrate.plot import save_plot
from services.calibrate.report import print_report
from services.calibrate.setting import Limits
from tests.unit.calibration_samples import LIVE, a_calibration, a_point, without_choice

Capture = pytest.CaptureFixture[str]


def test_the_table(capsys: Capture) -> None:
    print_report(a_calibration())
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert ["lossless", "0.500", "2.00", "1.00", "0.0000", "0.0100", "-", "-", "1.000"] in rows
    chosen = ["0.5", "0.750", "2.50", "1.50", "0.0500", "0.0600", "0.500", "0.500", "0.750"]
    assert [*chosen, "recommended"] in rows
    assert "rule token_v3, temperature 1, K 64, top-k 7, block length 5, seed 0" in out
    assert (
        "6 prompts, 321 tokens of the expert's law; every alpha is evaluated on these (off" in out
    )
    assert "(c 0.10), a round 40.0 ms (o 0.50)" in out


def test_the_recommendation_and_how_it_ran(capsys: Capture) -> None:
    print_report(a_calibration())
    out = capsys.readouterr().out
    assert (
        "recommended: alpha 0.5, the largest that keeps the distance within 0.07 with 95 %" in out
    )
    rows = [line.split() for line in out.splitlines()]
    assert ["acceptance", "0.750", "0.710"] in rows
    assert ["speed-up", "of", "decoding", "1.50", "1.75"] in rows
    assert ["speed-up,", "prompts", "included", "-", "1.50"] in rows
    assert "0.0500 (at most 0.0600)  0.0312 (at most 0.0444)" in out
    assert out.endswith("the live distance 0.0312 is within 0.07, the limit\n")


def test_a_broken_promise_is_told(capsys: Capture) -> None:
    found = replace(a_calibration(), live=replace(LIVE, distance=Estimate(0.0801, 0.09)))
    assert found.within_promise is False
    print_report(found)
    assert "the live distance 0.0801 EXCEEDS 0.07" in capsys.readouterr().out


def test_no_recommendation(capsys: Capture) -> None:
    print_report(without_choice())
    out = capsys.readouterr().out
    assert "no recommendation: no alpha of these keeps the distance within 0.001 and the exp" in out
    assert "the nearest to the expert, alpha 0, has a distance of at most 0.0100\n" in out
    assert "measured live" not in out
    print_report(replace(without_choice(), limits=Limits()))
    assert "recommend" not in capsys.readouterr().out


def test_one_json_object() -> None:
    values = json.loads(json.dumps(plain(a_calibration()), allow_nan=False))
    assert values["setting"]["rule"] == "token_v3"
    assert values["setting"]["mode"] == "speculative_cascade"
    assert (values["setting"]["max_distance"], values["setting"]["max_expert_share"]) == (
        0.07,
        None,
    )
    assert values["off_policy"] is True
    assert [row["alpha"] for row in values["alphas"]] == values["setting"]["alphas"] == [0, 0.5, 1]
    assert values["recommendation"] == values["alphas"][1]
    assert values["recommendation"]["distance_bound"] == pytest.approx(0.06)
    assert values["lossless"]["expert_share"] is None
    assert (values["live"]["distance"], values["live"]["within_promise"]) == (0.0312, True)
    assert values["live"]["speed_up"] == 1.5
    assert (values["costs"]["c"], values["costs"]["o"]) == (0.1, pytest.approx(0.5))


def test_json_of_what_is_not_known() -> None:
    unknown = replace(without_choice(), costs=None, points=[a_point(0.0, shared=False)])
    values = json.loads(json.dumps(plain(unknown), allow_nan=False))
    assert values["recommendation"] is values["live"] is values["costs"] is None
    assert values["alphas"][0]["expert_share_bound"] is None


@pytest.mark.parametrize("rule", ["token_v3", "chow_log", "ensemble"])
def test_the_picture(tmp_path: Path, rule: str) -> None:
    """It is drawn without a warning, with and without what may be missing."""
    for found in (a_calibration(), without_choice()):
        named = replace(found, setting=replace(found.setting, rule=rule))
        if rule == "ensemble":
            points = [
                replace(a_point(p.alpha, shared=False), distance=Estimate(0.1, None))
                for p in found.points
            ]
            named = replace(named, points=points)
        save_plot(named, tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def an_answer(
    rounds: int, tokens: int, *, first_ms: float, total_ms: float
) -> router_pb2.Statistics:
    return router_pb2.Statistics(
        rounds=rounds,
        tokens_by_origin={"ORIGIN_ACCEPTED": tokens - 1, "ORIGIN_RESAMPLED": 1},
        time_to_first_token_ms=first_ms,
        total_ms=total_ms,
        distance=tokens / 100,
        acceptance_rate=tokens / 20,
    )


def test_live_figures() -> None:
    """Two answers: 16 tokens in 6 rounds; 40 ms a round behind the first, 20 ms a step."""
    live = summarise(
        [
            (
                an_answer(4, 10, first_ms=100, total_ms=220),
                an_answer(1, 10, first_ms=80, total_ms=260),
            ),
            (
                an_answer(2, 6, first_ms=100, total_ms=140),
                an_answer(1, 6, first_ms=80, total_ms=180),
            ),
        ]
    )
    assert live.tokens_per_round == pytest.approx(16 / 6)
    assert live.decoding_speed_up == pytest.approx(16 / 6 * 20 / 40)
    assert live.tokens_per_s == pytest.approx(16 / 0.36)
    assert live.speed_up == pytest.approx(440 / 360)
    assert live.distance.mean == pytest.approx(0.08)
    assert live.acceptance == pytest.approx(0.4)


def test_answers_of_one_round_have_no_time_of_decoding() -> None:
    one = an_answer(1, 1, first_ms=100, total_ms=100)
    assert summarise([(one, one)]).decoding_speed_up is None
