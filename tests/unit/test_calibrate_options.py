"""What is asked of ``cascade calibrate``: defaults, mistakes in one line, who carries it out."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from cascade.v1 import law_pb2

from router.cli.app import main
from router.cli.state import Service, State, StateStore
from services.calibrate import __main__ as command_line
from services.calibrate.grids import default_alphas
from services.calibrate.parse import parse_limits, parse_setting
from services.calibrate.prompts import Prompt
from services.calibrate.setting import Setting
from services.rules.registry import RULES
from services.serving.law import violations, with_defaults
from tests.unit.cli_command import Outcome, command

Capture = pytest.CaptureFixture[str]
NOBODY = [f"--{who}address=127.0.0.1:1" for who in ("", "drafter-", "expert-")]


def evaluator(capsys: Capture, *arguments: str) -> Outcome:
    """Runs ``python -m services.calibrate`` in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["calibrate", *NOBODY, *arguments])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
    status = ended.value.code
    return Outcome(status if isinstance(status, int) else 0, *capsys.readouterr())


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    path = tmp_path / "prompts.txt"
    path.write_text("one\ntwo\n")
    return str(path)


@pytest.mark.parametrize("rule", RULES)
def test_the_default_alphas_are_the_rules_own(rule: str) -> None:
    """About twenty, ascending, all within the rule's range, its ends among them."""
    alphas = default_alphas(rule)
    assert len(alphas) == (1 if rule == "lossless" else 21)
    assert list(alphas) == sorted(set(alphas))
    setting = parse_setting({"rule": rule})
    assert setting.alphas == alphas
    for alpha in alphas:
        request = setting.rule_request(Prompt("", "x"), 0, alpha)
        law = law_pb2.Law(
            mode=request.mode, rule=request.rule, alpha=alpha, candidates=64, top_p=1.0
        )
        assert violations(with_defaults(law, alpha_given=True)) == []


def test_defaults() -> None:
    assert parse_setting({}) == Setting()
    assert parse_setting({"rule": "diff", "alphas": "0.5,-0.5,0.5,-0"}).alphas == (-0.5, 0, 0.5)


def test_requests() -> None:
    """One law for all; each prompt has a seed of its own."""
    texts = {"temperature": "1", "top-k": "5", "top-p": "0.9", "seed": str(2**64 - 1)}
    setting = parse_setting({**texts, "max-tokens": "9", "block-length": "3"}, raw=True)
    lossless = setting.lossless_request(Prompt("", "x"), 0)
    assert (lossless.mode, lossless.rule) == (law_pb2.MODE_SPECULATIVE, 0)
    assert lossless.echo_prompt
    assert (lossless.text, lossless.raw, lossless.seed) == ("x", True, 2**64 - 1)
    assert (lossless.temperature, lossless.top_k, lossless.top_p) == (1, 5, 0.9)
    assert (lossless.max_tokens, lossless.block_length, lossless.candidates) == (9, 3, 64)
    of_rule = setting.rule_request(Prompt("", (7, 8)), 1, 0.25)
    assert (of_rule.mode, of_rule.rule) == (
        law_pb2.MODE_SPECULATIVE_CASCADE,
        law_pb2.RULE_TOKEN_V3,
    )
    assert (list(of_rule.token_ids.ids), of_rule.alpha, of_rule.seed) == ([7, 8], 0.25, 0)
    expert = setting.expert_request(Prompt("", "x"), 0)
    assert (expert.mode, expert.HasField("block_length")) == (law_pb2.MODE_EXPERT, False)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--rule", "best"], "--rule: must be one of lossless, "),
        (["--rule", ""], "--rule: must be one of lossless, "),
        (["--temperature", "-1"], "--temperature: must be 0 or in [0.001, 100], got -1"),
        (["--temperature", "hot"], "--temperature: must be a number, got hot"),
        (["--temperature", "nan"], "--temperature: must be 0 or in [0.001, 100], got nan"),
        (["--top-k", "-1"], "--top-k: must be in [0, 4294967295], got -1"),
        (["--top-k", "1.5"], "--top-k: must be a whole number, got 1.5"),
        (["--top-p", "0"], "--top-p: must be in (0, 1], got 0"),
        (["--candidates", "0"], "--candidates: must be in [1, 1024], got 0"),
        (["--candidates", "1025"], "--candidates: must be in [1, 1024], got 1025"),
        (["--max-tokens", "0"], "--max-tokens: must be in [1, 4294967295], got 0"),
        (["--block-length", "65"], "--block-length: must be in [1, 64], got 65"),
        (["--seed", str(2**64)], f"--seed: must be in [0, {2**64 - 1}], got {2**64}"),
        (["--limit", "0"], "--limit: must be in [1, 4294967295], got 0"),
        (
            ["--alphas", "0.5,1.5"],
            "--alphas: must be finite and in [0, 1] for rule token_v3, got 1.5",
        ),
        (["--rule", "lossy", "--alphas", "1"], "--alphas: must be finite and in [0, 1) for rule"),
        (["--rule", "bild", "--alphas", "inf"], "--alphas: must be finite and in [0, inf]"),
        (["--alphas", "0.5,"], "--alphas: must be numbers with commas between them, got 0.5,"),
        (["--max-distance", "1.01"], "--max-distance: must be in [0, 1], got 1.01"),
        (["--max-distance", "near"], "--max-distance: must be a number, got near"),
        (["--max-expert-share", "nan"], "--max-expert-share: must be in [0, 1], got nan"),
        (
            ["--rule", "ensemble", "--max-expert-share", "0.5"],
            "--max-expert-share: takes a rule that defers (bild, ",
        ),
        (["--limit", "1", "--max-distance", "0.1"], "--max-distance: a bound takes at least 2"),
        (["--plot", "a.pdf"], "--plot: must be a .png file, got a.pdf"),
        (["--plot", "/no/folder/a.png"], "--plot: must lie in a folder that is there, got /no"),
        (["--plot", "/proc/version.png"], "--plot: can't be written: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line(
    capsys: Capture, prompts: str, arguments: list[str], text: str
) -> None:
    """The option, the limit and the value; nothing was asked of any service."""
    found = evaluator(capsys, *arguments, prompts)
    assert (found.status, found.out, len(found.err.splitlines())) == (2, "", 1), found
    assert found.err.startswith(f"error: {text}")


def test_a_rule_without_a_decision_has_no_expert_share() -> None:
    for rule, definition in RULES.items():
        setting = parse_setting({"rule": rule})
        if definition.defer is not None:
            assert parse_limits({"max-expert-share": "0.5"}, setting).max_expert_share == 0.5


def test_a_file_without_prompts(capsys: Capture, tmp_path: Path) -> None:
    found = evaluator(capsys, str(tmp_path / "none\x1b[2J.txt"))
    assert (found.status, found.out, len(found.err.splitlines())) == (2, "", 1)
    assert "none\\x1b[2J.txt: No such file" in found.err


def test_nobody_at_the_address(capsys: Capture, prompts: str) -> None:
    found = evaluator(capsys, "--json", prompts)
    assert (found.status, found.out, len(found.err.splitlines())) == (1, "", 1)
    assert found.err.startswith("error: can't reach the drafter at 127.0.0.1:1 (")


class Became(Exception):
    """In place of another program."""


@pytest.fixture
def becoming(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line that ``cascade`` would become."""
    found: list[str] = []

    def execv(path: str, arguments: list[str]) -> None:
        assert path == sys.executable
        found.extend(arguments[1:])
        raise Became

    monkeypatch.setattr(os, "execv", execv)
    return found


def cascade(*arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["cascade", "calibrate", *arguments])
        with pytest.raises(Became):
            main()


def test_the_command_becomes_the_evaluator(becoming: list[str]) -> None:
    addresses = ["--address=a:1", "--drafter-address=b:2", "--expert-address=c:3"]
    cascade("p.txt", *addresses, "--top-k", "-1", "--rule=chow", "--json", "--max-distance", "0.1")
    module, options = becoming[:3], becoming[3:-2]
    assert module == ["-P", "-m", "services.calibrate"]
    assert sorted(options) == sorted(
        [*addresses, "--rule=chow", "--max-distance=0.1", "--top-k=-1", "--json"]
    )
    assert becoming[-2:] == ["--", "p.txt"]


def test_the_services_that_run_here(
    becoming: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASCADE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("router.cli.calibrate.find", lambda service: service)
    fields: Any = {"pid": 1, "started": 0.0, "command": (), "log": ""}
    services = [
        Service(role=role, address=f"here:{n}", **fields)
        for n, role in enumerate(("drafter", "expert", "router"))
    ]
    StateStore(tmp_path).write(State("tiny", "d", "e", "auto", "auto", services=tuple(services)))
    cascade("p.txt")
    assert becoming[3:6] == [
        "--drafter-address=here:0",
        "--expert-address=here:1",
        "--address=here:2",
    ]


def test_nothing_running_says_so(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASCADE_STATE_DIR", str(tmp_path))
    found = command(capsys, "calibrate", "p.txt")
    assert (found.status, found.out, len(found.err.splitlines())) == (1, "", 1)
    assert "no drafter runs here: start one with `cascade up`, or give --address" in found.err


def test_some_addresses_are_not_enough(capsys: Capture) -> None:
    """The others would be those of another pair."""
    found = command(capsys, "calibrate", "p.txt", "--address", "a:1")
    assert (found.status, found.out) == (2, "")
    assert found.err == (
        "cascade: --drafter-address and --expert-address: missing; give all three addresses, or "
        "none of them\n"
    )
