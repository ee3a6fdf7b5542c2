"""The cost bench: its arithmetic, what it reads of the other reports, and how it tells."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cost.demand import Gain, Load, Mode, Parts, fleet, mixture, mode, price
from bench.cost.given import given_mode, read_times
from bench.cost.measured import NAMES, Measured
from bench.cost.mix import parse_mix
from bench.cost.plot import save_plot
from bench.cost.report import Run, to_json, to_markdown
from bench.cost.stored import BadResult
from bench.errors import BadOption
from tests.unit.test_bench_report import MACHINE, row

SECONDS = st.floats(0.0, 1e3).filter(lambda s: s == 0.0 or s > 1e-6)
PARTS = st.builds(Parts, SECONDS, SECONDS)
GAINS = st.none() | st.builds(Gain, st.floats(0.5, 50.0), st.just("somewhere"))
# What takes no time is no mode.
SOME = PARTS.filter(lambda parts: parts.total > 0)
MODES = st.builds(mode, st.just("expert"), st.just("expert alone"), SOME, GAINS)
UTILISATIONS = st.floats(0.01, 1.0)
RATES = st.floats(1e-3, 1e5)

TIMES: dict[str, Any] = {
    "source": "a GPU",
    "drafter_step_ms": 4.0,
    "expert_step_ms": 12.0,
    "expert_pass_ms": 15.0,
}


@given(MODES, UTILISATIONS, RATES, RATES)
def test_more_load_never_takes_fewer_pods(m: Mode, most: float, one: float, other: float) -> None:
    low, high = (fleet(m.at_once, Load(r, 256.0, most)) for r in sorted((one, other)))
    assert low.drafters <= high.drafters
    assert low.experts <= high.experts


@given(MODES, UTILISATIONS, RATES)
def test_no_pod_is_busier_than_wanted_and_one_fewer_would_be(
    m: Mode, most: float, rate: float
) -> None:
    found = fleet(m.at_once, Load(rate, 256.0, most))
    roles = zip(
        found.utilisation,
        (found.busy.drafter, found.busy.expert),
        (found.drafters, found.experts),
        strict=True,
    )
    for utilisation, busy, pods in roles:
        if not busy:
            assert pods == 0
            assert utilisation is None
        else:
            assert utilisation is not None
            assert utilisation <= most * (1 + 1e-9)
            assert busy / most > (pods - 1) * (1 - 1e-9)


@given(MODES, MODES, st.floats(0.01, 0.99), PARTS)
def test_the_cost_of_a_mixture_adds_up(one: Mode, other: Mode, share: float, per: Parts) -> None:
    both = mixture([(one, share), (other, 1 - share)])
    for which in ("alone", "at_once"):
        parts = [price(getattr(m, which), per).total for m in (one, other)]
        expected = share * parts[0] + (1 - share) * parts[1]
        assert price(getattr(both, which), per).total == pytest.approx(expected, abs=1e-12)


@given(MODES)
def test_a_mixture_of_one_mode_is_that_mode(m: Mode) -> None:
    alone = mixture([(m, 0.25), (m, 0.75)])
    assert alone.at_once.drafter == pytest.approx(m.at_once.drafter)
    assert alone.at_once.expert == pytest.approx(m.at_once.expert)


def test_pods_are_the_load_by_gain_and_utilisation() -> None:
    m = mode("speculative", "speculative", Parts(20.0, 40.0), Gain(4.0, "somewhere"))
    found = fleet(m.at_once, Load(10.0, 100.0, 0.5))  # 5 and 10 s a second
    assert (found.drafters, found.experts) == (10, 20)
    assert found.utilisation == (0.5, 0.5)
    assert price(found.pods.times(3600.0), Parts(2.0, 3.0)).total == 80.0


def test_what_was_measured_is_read(tmp_path: Path) -> None:
    measured = Measured(_stored(tmp_path))
    by_name = {name: measured.mode(name, "engine") for name in NAMES}
    assert by_name["drafter"].alone == Parts(20.0, 0.0)
    assert by_name["drafter"].gain is None
    assert by_name["expert"].alone == Parts(0.0, 100.0)
    assert by_name["expert"].at_once == Parts(0.0, 20.0)
    assert by_name["speculative"].alone == Parts(25.0, 50.0)
    assert by_name["speculative"].label == "speculative, LOSSLESS"
    gain = by_name["speculative"].gain
    assert gain is not None
    assert gain.times == 2.5
    assert by_name["cascade"].gain is None
    assert by_name["cascade"].at_once == by_name["cascade"].alone
    assert [source.commit for source in measured.sources] == ["abc1234"] * 3
    streams = measured.gain("cascade", "streams")
    assert streams is not None
    assert streams.times == 2.0
    assert measured.gain("drafter", "streams") == replace(streams, basis=ANY)


@pytest.mark.parametrize(
    ("name", "path", "command"),
    [
        ("speed", ["answers", "speculative", "HumanEval/0", 0, "statistics", "draft_ms"], "speed"),
        ("speed", ["answers", "cascade"], "speed"),
        ("speed", ["machine", "commit"], "speed"),
        ("streams", ["rates", "1", "drafter"], "streams"),
        ("engine", ["rates", 0, "times"], "engine"),
    ],
)
def test_a_missing_field_is_named_with_the_command_that_makes_it(
    tmp_path: Path, name: str, path: list[str | int], command: str
) -> None:
    folder = _stored(tmp_path)
    values = inner = json.loads((folder / f"{name}.json").read_text())
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    (folder / f"{name}.json").write_text(json.dumps(values))
    wanted = ".".join(map(str, path))
    with pytest.raises(BadResult, match=f"{name}.json: .*{wanted}.*`make bench-{command}`"):
        _run(folder)


def test_a_missing_report_and_one_of_other_models_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadResult, match=r"speed\.json: not there; `make bench-speed` makes it"):
        Measured(tmp_path)
    folder = _stored(tmp_path)
    (folder / "engine.json").write_text(json.dumps({"models": ["other", "pair"]}))
    with pytest.raises(BadResult, match=r"of other models than speed.json: other, pair"):
        Measured(folder).mode("expert", "engine")


def test_reports_that_do_not_belong_together_are_not_combined(tmp_path: Path) -> None:
    folder = _stored(tmp_path)
    path = folder / "engine.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dtype": "float32"}))
    with pytest.raises(BadResult, match=r"of another dtype than speed.json: float32"):
        Measured(folder).mode("expert", "engine")


def test_a_report_of_one_request_at_a_time_tells_no_gain(tmp_path: Path) -> None:
    folder = _stored(tmp_path)
    path = folder / "streams.json"
    stored = json.loads(path.read_text())
    assert Measured(folder)._in_streams("expert") is not None
    path.write_text(json.dumps(stored | {"rates": {"1": stored["rates"]["1"]}}))
    assert Measured(folder)._in_streams("expert") is None


def test_given_times_take_the_rounds_of_the_speed_bench(tmp_path: Path) -> None:
    measured = Measured(_stored(tmp_path))
    (tmp_path / "times.json").write_text(json.dumps(TIMES | {"gains": {"cascade": 3.0}}))
    times = read_times(tmp_path / "times.json")
    # A round drafts 5 tokens and delivers 4.
    assert given_mode("speculative", times, measured).alone == Parts(5.0, 3.75)
    assert given_mode("speculative", times, measured).gain is None
    assert given_mode("cascade", times, measured).at_once.total == pytest.approx(8.75 / 3)
    assert given_mode("expert", times, measured).alone == Parts(0.0, 12.0)
    assert given_mode("drafter", times, measured).alone == Parts(4.0, 0.0)
    rounds = {"speculative": {"drafted": 3.0, "tokens": 3.0}}
    (tmp_path / "times.json").write_text(json.dumps(TIMES | {"rounds": rounds}))
    times = read_times(tmp_path / "times.json")
    found = given_mode("speculative", times, measured).alone
    assert (found.drafter, found.expert) == pytest.approx((4.0, 5.0))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "the file: Invalid JSON"),
        (json.dumps(TIMES | {"drafter_step_ms": 0}), "drafter_step_ms: "),
        (json.dumps(TIMES | {"gains": {"other": 2.0}}), "gains.other"),
        (json.dumps(TIMES | {"pass_ms": 2.0}), "pass_ms: Extra inputs"),
    ],
)
def test_a_bad_file_of_times_is_told(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "times.json"
    with pytest.raises(BadOption, match="No such file"):
        read_times(path)
    path.write_text(text)
    with pytest.raises(BadOption, match=fault):
        read_times(path)


@pytest.mark.parametrize(
    "text", ["cascade", "other=1", "expert=x", "expert=0.5", "expert=0.5,expert=0.5", "expert=nan"]
)
def test_a_bad_mixture_is_told(text: str) -> None:
    with pytest.raises(BadOption, match="--mix: "):
        parse_mix(text, [mode("expert", "expert alone", Parts(0.0, 1.0), None)])


def test_the_report_has_every_mode_load_and_source(tmp_path: Path) -> None:
    run = _run(_stored(tmp_path))
    text = to_markdown(run, "cost.png")
    assert row(text, "speculative, LOSSLESS")[:4] == ["25.00", "50.00", "75.00", "0.50"]
    assert row(text, "speculative, LOSSLESS")[-1] == "0.75"
    # What has no measured gain is not set beside what has one.
    assert row(text, "cascade, TOKEN_V3 0.5 (gain not measured: 1)")[-1] == "-"
    assert row(text, "10,000", 1)[:3] == ["2,560,000", "0", "73,143"]
    assert text.count("commit abc1234, on A processor, 2 cores") == 3
    assert "50% cascade + 50% expert" in text
    values = to_json(run)
    json.dumps(values)
    assert [entry["name"] for entry in values["modes"]] == [*NAMES, "mixture"]
    assert values["modes"][1]["pods"][1]["experts"] == 73_143


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    path = save_plot(_run(_stored(tmp_path)), tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")


def _run(folder: Path) -> Run:
    measured = Measured(folder)
    modes = [measured.mode(name, "engine") for name in NAMES]
    return Run(
        machine=MACHINE,
        sources=measured.sources,
        models=measured.models,
        modes=[*modes, parse_mix("cascade=0.5, expert=0.5", modes)],
        counts={name: measured.counts(name) for name in NAMES if name != "drafter"},
        prices=Parts(1.0, 1.0),
        loads=[Load(1.0, 256.0, 0.7), Load(10_000.0, 256.0, 0.7)],
        times=None,
    )


def _stored(folder: Path) -> Path:
    """The three reports of one pair, with round figures."""

    def answers(**statistics: Any) -> dict[str, Any]:
        return {"HumanEval/0": [{"token_ids": list(range(8)), "statistics": statistics}] * 2}

    machine = MACHINE.to_json()
    drafted = {"rounds": 2, "drafted": 10, "draft_ms": 200.0, "verify_ms": 400.0}
    rates = {"drafter": 50.0, "expert": 10.0, "speculative": 20.0, "cascade": 20.0}
    reports = {
        "speed": {
            "machine": machine,
            "models": {"drafter": "pair/drafter", "expert": "pair/expert"},
            "dtype": "bfloat16",
            "weights": {"drafter": "int4", "expert": "auto"},
            "laws": {
                "MODE_SPECULATIVE": {"rule": "RULE_LOSSLESS"},
                "MODE_SPECULATIVE_CASCADE": {"rule": "RULE_TOKEN_V3", "alpha": 0.5},
            },
            "answers": {
                "expert": answers(rounds=1, verify_ms=800.0),
                "speculative": answers(**drafted),
                "cascade": answers(**drafted),
            },
        },
        "engine": {
            "machine": machine,
            "models": ["pair/drafter", "pair/expert"],
            "dtype": "bfloat16",
            "steps": [
                {"role": "drafter", "weights": "auto", "tokens": 1, "ours_s": [0.04]},
                {"role": "drafter", "weights": "int4", "tokens": 1, "ours_s": [0.01, 0.02, 0.9]},
            ],
            "rates": [
                {"mode": "EXPERT", "alone": [10.0], "together": [50.0], "times": 5.0},
                {"mode": "SPECULATIVE", "alone": [10.0], "together": [40.0], "times": 4.0},
                {
                    "mode": "SPECULATIVE, drafter int4, never the expert alone",
                    "alone": [20.0],
                    "together": [50.0],
                    "times": 2.5,
                },
            ],
        },
        "streams": {
            "machine": machine,
            "models": ["pair/drafter", "pair/expert"],
            "dtype": "bfloat16",
            "weights": ["int4", "auto"],
            "rates": {
                sessions: {name: {"tokens_per_s": times * rate} for name, rate in rates.items()}
                for sessions, times in (("1", 1.0), ("6", 2.0))
            },
        },
    }
    for name, values in reports.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder
