"""Quality: systems, kept answers, intervals, figures and the report."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from cascade.v1 import law_pb2
from cascade.v1.router_pb2 import Statistics

from bench.answer import Answer
from bench.errors import BadOption
from bench.near_ties.gaps import views
from bench.pair import Pair
from bench.progress import progress_bar
from bench.quality.ask import Asking, ask
from bench.quality.interval import wilson
from bench.quality.judge import judge
from bench.quality.kept import NAME, Kept, KeptAnswer, keeping
from bench.quality.parted import comparisons
from bench.quality.plot import save_plot
from bench.quality.problems import read_problems
from bench.quality.report import Run, to_json, to_markdown
from bench.quality.sandbox import Judgement
from bench.quality.summary import Beside, Judged, beside, expert_calls, summarise
from bench.quality.systems import ALL, DEFAULT, EXPERT, LOSSLESS, System, parse_systems
from tests.services import TINY
from tests.unit.bench_samples import an_answer, statistics
from tests.unit.test_bench_report import MACHINE

ASKING = Asking(max_tokens=8, at_once=2, chat=False)
SETTINGS = {**asdict(ASKING), "dtype": "bfloat16", "expert": "abc"}
V3 = parse_systems("token_v3:0.5")[0]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson(successes: int, trials: int, low: float, high: float) -> None:
    found = wilson(successes, trials)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_is_narrower_where_less_sure() -> None:
    one, other = wilson(5, 9, confidence=0.5), wilson(5, 9)
    assert other.low < one.low < 5 / 9 < one.high < other.high


def test_the_default_systems() -> None:
    names = [system.name for system in parse_systems(DEFAULT)]
    assert ",".join(names) == DEFAULT
    assert sum(name.startswith("token_v3:") for name in names) == 3


def test_all_systems_are_asked_for_what_there_is() -> None:
    """Every rule of its mode, over its range; each system once."""
    systems = parse_systems(ALL)
    assert len({system.name for system in systems}) == len(systems)
    by_mode = {mode: {s.rule for s in systems if s.mode == mode} for mode in law_pb2.Mode.values()}
    assert len(by_mode[law_pb2.MODE_SPECULATIVE_CASCADE]) == 9
    assert by_mode[law_pb2.MODE_SPECULATIVE] == {law_pb2.RULE_LOSSLESS, law_pb2.RULE_LOSSY}
    sequence = [s.alpha for s in systems if s.mode == law_pb2.MODE_SEQUENCE_CASCADE]
    assert len(sequence) > 3
    assert [s.alpha for s in parse_systems("token_v3")] == [0, 0.2, 0.4, 0.6, 0.8, 1]


def test_a_request() -> None:
    request = V3.request("Add one.", 12, chat=True)
    assert (request.text, request.max_tokens, request.alpha) == ("Add one.", 12, 0.5)
    assert request.rule == law_pb2.RULE_TOKEN_V3
    assert request.HasField("temperature")
    assert not request.allow_expert_alone
    assert not request.raw
    assert not request.stop_strings
    assert not EXPERT.request("", 1, chat=True).HasField("alpha")


def test_a_text_is_continued_until_its_function_is_over() -> None:
    request = EXPERT.request("def f():\n", 12, chat=False)
    assert request.raw
    assert {"\nclass", "\ndef", "\n#", "\nif", "\nprint"} < set(request.stop_strings)


@pytest.mark.parametrize(
    "text", ["", ",", "no", "token_v3:", "token_v3:x", "expert:0.5", "opt:1:2"]
)
def test_no_system(text: str) -> None:
    with pytest.raises(BadOption, match="--systems"):
        parse_systems(text)


def put(kept: Kept, system: str, problem: str, text: str = "text") -> KeptAnswer:
    answer = an_answer(end_token_id=9, statistics=statistics(expert_calls=2))
    kept_answer = KeptAnswer(answer, text)
    kept.put(system, problem, kept_answer)
    return kept_answer


def test_answers_are_found_again(tmp_path: Path) -> None:
    with keeping(tmp_path / "new", SETTINGS) as kept:
        one = put(kept, "expert", "HumanEval/0")
        other = put(kept, "token_v3:0.5", "HumanEval/0", "\ud800é\n")
        assert (tmp_path / "new" / NAME).read_bytes().count(b"\n") == 2  # already on the disk
    with keeping(tmp_path / "new", SETTINGS) as kept:
        assert kept.get("expert", "HumanEval/0") == one
        assert kept.get("token_v3:0.5", "HumanEval/0") == other
        assert kept.get("expert", "HumanEval/1") is None


def test_answers_of_other_settings_are_not(tmp_path: Path) -> None:
    with keeping(tmp_path, SETTINGS) as kept:
        put(kept, "expert", "HumanEval/0")
    with keeping(tmp_path, SETTINGS | {"expert": "other weights"}) as kept:
        assert kept.get("expert", "HumanEval/0") is None
        put(kept, "expert", "HumanEval/0", "another")
    with keeping(tmp_path, dict(reversed(SETTINGS.items()))) as kept:
        found = kept.get("expert", "HumanEval/0")
        assert found is not None
        assert found.text == "text"


@pytest.mark.parametrize("left", [1, 40, -1])
def test_a_truncated_last_line_is_asked_again(tmp_path: Path, left: int) -> None:
    path = tmp_path / NAME
    with keeping(tmp_path, SETTINGS) as kept:
        put(kept, "expert", "HumanEval/0")
        whole = path.read_bytes()
        put(kept, "expert", "HumanEval/1")
    last = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + last[:left])
    with keeping(tmp_path, SETTINGS) as kept:
        assert kept.get("expert", "HumanEval/0") is not None
        assert kept.get("expert", "HumanEval/1") is None
        put(kept, "expert", "HumanEval/1")
    assert path.read_bytes() == whole + last


def test_a_damaged_line_is_refused(tmp_path: Path) -> None:
    with keeping(tmp_path, SETTINGS) as kept:
        put(kept, "expert", "HumanEval/0")
    path = tmp_path / NAME
    path.write_bytes(b'{"half": \n' + path.read_bytes())
    with pytest.raises(BadOption, match="line 1"), keeping(tmp_path, SETTINGS):
        pass


def test_two_runs_do_not_share_a_file(tmp_path: Path) -> None:
    with (
        keeping(tmp_path, SETTINGS),
        pytest.raises(BadOption, match="another run"),
        keeping(tmp_path, SETTINGS),
    ):
        pass


def test_what_is_kept_needs_no_service(tmp_path: Path) -> None:
    """A finished run is only tested and reported: the pair isn't even looked at."""
    problems = read_problems(2)
    pair: Any = None
    with keeping(tmp_path, SETTINGS) as kept, progress_bar(8) as bar:
        for problem in problems:
            put(kept, "expert", problem.name, "    return 1")
            put(kept, "lossless", problem.name, "    return 1")
        assert ask([EXPERT, LOSSLESS], pair, problems, kept, bar, ASKING) == 4
        judged = judge([EXPERT, LOSSLESS], problems, kept, bar)
    assert [j.problem for j in judged[EXPERT]] == [problem.name for problem in problems]
    assert not any(j.judgement.passed for of in judged.values() for j in of)


def alone(tokens: int) -> Statistics:
    return Statistics(expert_calls=1, tokens_by_origin={"ORIGIN_EXPERT": tokens})


@pytest.mark.parametrize(
    ("counted", "calls"),
    [
        (None, 0),
        (Statistics(expert_calls=0, tokens_by_origin={"ORIGIN_DRAFTER": 4}), 0),
        (Statistics(expert_calls=3, tokens_by_origin={"ORIGIN_ACCEPTED": 9}), 3),
        (alone(12), 12),
        # A sequence cascade that defers: two blocks verified, then seven tokens alone.
        (Statistics(expert_calls=3, tokens_by_origin={"ORIGIN_EXPERT": 7}), 9),
    ],
)
def test_expert_calls(counted: Statistics | None, calls: int) -> None:
    assert expert_calls(an_answer(statistics=counted)) == calls


def decided_in_two_calls(tokens: int) -> Statistics:
    return Statistics(expert_calls=2, tokens_by_origin={"ORIGIN_ACCEPTED": tokens})


def judged(passed: bool, answer: Answer | None = None, problem: str = "HumanEval/0") -> Judged:
    reason = "" if passed else "AssertionError: not three"
    return Judged(problem, answer or an_answer(), "text", Judgement(passed, reason))


def test_the_figures() -> None:
    ended = an_answer(3, end_token_id=9, total_s=1.0, statistics=alone(4))
    stopped = an_answer(2, stop_string="\ndef", total_s=1.0, statistics=alone(2))
    cut = an_answer(4, total_s=3.0, statistics=alone(4))
    assert not judged(True, stopped).cut
    found = summarise([judged(True, ended), judged(False, cut)])
    assert (found.passed, found.problems, found.pass_at_1, found.cut) == (1, 2, 0.5, 1)
    assert found.interval == wilson(1, 2)
    assert found.tokens_per_s == 7 / 4
    assert (found.tokens, found.calls_per_token) == (8, 1.0)


def test_calls_are_of_all_tokens_that_were_decided() -> None:
    """Also of those that a stop string cut away: the expert alone has one call a token."""
    alone_cut = an_answer(4, stop_string="\ndef", statistics=alone(6))
    blocks_cut = an_answer(4, stop_string="\ndef", statistics=decided_in_two_calls(8))
    assert summarise([judged(True, alone_cut)]).calls_per_token == 1.0
    assert summarise([judged(True, blocks_cut)]).calls_per_token == 0.25
    assert summarise([judged(True, an_answer(4))]).calls_per_token == 0.0
    assert summarise([judged(True, blocks_cut)]).tokens == 4


def test_beside_the_expert() -> None:
    ended = an_answer(end_token_id=9)
    system = [judged(True), judged(False), judged(True, ended)]
    expert = [judged(True), judged(True), judged(False)]
    assert beside(system, expert) == Beside(identical=2, only_expert=1, only_system=1)


def a_run(of: dict[System, list[Judged]]) -> Run:
    return Run(
        machine=MACHINE,
        pair="pair",
        models=("pair/drafter", "pair/expert"),
        kept_in=("int4", "bfloat16"),
        settings=SETTINGS,
        problems=["HumanEval/0"],
        had=1,
        isolation="an audit hook",
        judged=of,
    )


def test_the_report(tmp_path: Path) -> None:
    fast = an_answer(total_s=1.0, statistics=decided_in_two_calls(4))
    slow = an_answer(total_s=4.0, statistics=alone(4))
    run = a_run({EXPERT: [judged(True, slow)], LOSSLESS: [judged(False, fast)], V3: [judged(True)]})
    picture = save_plot(run, tmp_path / "images")
    assert picture.name == "quality-pair.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = to_markdown(run, "../images/quality-pair.png")
    assert (
        "each continued as it stands until `\\nclass`, `\\ndef`, `\\n#`, `\\nif`, `\\nprint` "
        "(Chen et al. 2021) or `` \\n``` ``; of the continuation counts what is indented;"
    ) in text
    assert "each of up to 2 streams at once" in text
    assert "](../images/quality-pair.png)" in text
    assert "| expert | 1 of 1 | 1.000 | 0.207 to 1.000 | 1.00 | 1.000 | 4 | 1 |" in text
    assert "| lossless | 0 of 1 | 0.000 | 0.000 to 0.793 | 4.00 | 0.500 | 4 | 1 |" in text
    assert "Lossless: 1 of 1 answers are the expert's token for token; 1 pass in" in text
    assert "| lossless | AssertionError 1 | 0 |" in text
    values = json.loads(json.dumps(to_json(run), allow_nan=False))
    assert values["beside_expert"]["lossless"]["only_expert"] == 1
    assert values["judgements"]["token_v3:0.5"]["HumanEval/0"]["passed"]


def test_the_report_of_one_stream_of_messages() -> None:
    run = replace(a_run({V3: [judged(True)]}), settings=SETTINGS | {"chat": True, "at_once": 1})
    text = to_markdown(run, "quality-pair.png")
    assert "as one user message in the expert's chat template" in text
    assert "one stream over loopback" in text


def test_the_report_of_one_system_alone(tmp_path: Path) -> None:
    for run in (a_run({V3: [judged(True)]}), a_run({EXPERT: [judged(True)]})):
        save_plot(run, tmp_path)
        text = to_markdown(run, "quality-pair.png")
        assert "nothing to compare" in text
        assert text.endswith("## What failed\n\nNothing.\n")


def test_where_lossless_parts_from_the_expert_its_logits_are_told() -> None:
    models = Pair(TINY / "drafter", TINY / "expert", "float32")
    problems = read_problems(2)
    answers = [an_answer(4), an_answer(4)]
    other = replace(answers[1], token_ids=(*answers[1].token_ids[:2], 99, 98))
    of = {
        EXPERT: [judged(True, answer) for answer in answers],
        LOSSLESS: [judged(True, answers[0]), judged(True, other)],
    }
    compared = comparisons(of, models, problems, chat=False)
    assert [c.difference for c in compared] == [None, 2]
    assert [c.prompt.token_ids for c in compared] == [tuple(p.prompt.encode()) for p in problems]
    seen = views(models.expert, models.dtype, compared)
    assert list(seen) == [problems[1].name]
    rounded = views(models.expert, models.dtype, compared, "int4")
    assert [v.gap for v in rounded[problems[1].name]] != [v.gap for v in seen[problems[1].name]]
    assert not comparisons({EXPERT: of[EXPERT]}, models, problems, chat=False)
    assert not comparisons({LOSSLESS: of[LOSSLESS]}, models, problems, chat=False)


def test_a_message_is_compared_as_the_template_has_it(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TINY / "expert" / name, tmp_path)
    (tmp_path / "chat_template.jinja").write_text("<{{ messages[0].content }}>")
    models = Pair(TINY / "drafter", tmp_path, "float32")
    of = {EXPERT: [judged(True)], LOSSLESS: [judged(True)]}
    problems = read_problems(1)
    text = problems[0].prompt
    for chat, seen in ((True, f"<{text}>"), (False, text)):
        (compared,) = comparisons(of, models, problems, chat=chat)
        assert compared.prompt.token_ids == tuple(seen.encode())
