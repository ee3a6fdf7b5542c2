"""``generate`` and ``compare`` against a router that answers as the test wants it."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from cascade.v1 import law_pb2, router_pb2

from tests.unit.cli_command import command, process, start_process
from tests.unit.cli_fakes import ANSWER, FakeRouter, serving

Capture = pytest.CaptureFixture[str]
TEXT = "".join(text for _, text, _ in ANSWER)


@pytest.fixture
def router() -> FakeRouter:
    return FakeRouter()


@pytest.fixture
def address(router: FakeRouter) -> Iterator[str]:
    with serving(router=router) as where:
        yield where


def test_help_needs_neither_grpc_nor_pydantic_nor_torch() -> None:
    code = (
        "import atexit, sys; atexit.register(lambda: print('heavy:', sorted({'grpc', 'google', "
        "'pydantic', 'psutil', 'jinja2', 'torch', 'transformers'} & set(sys.modules))))"
    )
    found = process("--help", code=code)
    assert found.status == 0
    assert "compare" in found.out
    assert found.out.endswith("heavy: []\n")


def test_a_call_needs_no_torch(address: str) -> None:
    code = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules))"
    found = process("generate", "hi", "--address", address, code=code)
    assert (found.status, found.out) == (0, TEXT + "False\n")


def test_the_answer_alone_is_on_standard_output(capsys: Capture, address: str) -> None:
    found = command(capsys, "generate", "hi", "--address", address)
    assert (found.status, found.out) == (0, TEXT)
    legend = [line.split()[:2] for line in found.err.splitlines()]
    assert legend[:3] == [["accepted", "2"], ["trusted", "1"], ["resampled", "1"]]
    (line,) = found.err.splitlines()[3:]
    assert "4 tokens · 2.00 tokens/s · first after 0.25 s · acceptance 0.75 ·" in line
    assert "2.00 tokens a round · 75% the drafter's · may differ" in line


def test_an_answer_without_a_last_newline_gets_one(capsys: Capture, address: str) -> None:
    found = command(capsys, "generate", "hi", "--max-tokens", "1", "--address", address)
    assert found.out == "Buzz\n"


def test_options_reach_the_router_and_the_rest_is_unset(
    capsys: Capture, address: str, router: FakeRouter
) -> None:
    command(capsys, "generate", "hi", "--address", address)
    options = "--mode speculative_cascade --rule opt --alpha 0.25 --temperature 1 --top-k 3 --raw"
    more = "--top-p 0.5 --seed 7 --max-tokens 2 --stop a --stop b --block-length 4"
    command(capsys, "generate", "hi", *options.split(), *more.split(), "--address", address)
    assert router.requests == [
        router_pb2.GenerateRequest(text="hi"),
        router_pb2.GenerateRequest(
            text="hi",
            raw=True,
            mode=law_pb2.MODE_SPECULATIVE_CASCADE,
            rule=law_pb2.RULE_OPT,
            alpha=0.25,
            temperature=1,
            top_k=3,
            top_p=0.5,
            seed=7,
            max_tokens=2,
            stop_strings=["a", "b"],
            block_length=4,
        ),
    ]


def test_one_json_object(capsys: Capture, address: str) -> None:
    found = command(capsys, "generate", "hi", "--json", "--address", address)
    values = json.loads(found.out)
    assert found.err == ""
    assert values["text"] == TEXT
    assert values["token_ids"] == [11, 12, 13, 14]
    assert values["origins"] == ["accepted", "trusted", "resampled", "accepted"]
    assert values["finish_reason"] == "stop_string"
    assert values["stop_string"] == "END"
    assert values["usage"] == {"prompt_tokens": 3, "completion_tokens": 4}
    assert values["seed"] == 2**63 + 1
    assert (values["law"]["mode"], values["law"]["rule"]) == ("speculative_cascade", "token_v3")
    statistics = values["statistics"]
    assert statistics["drafter_share"] == pytest.approx(0.75)
    assert statistics["tokens_per_second"] == pytest.approx(2)
    assert statistics["accepted_by_position"] == [2, 1]


@pytest.mark.parametrize(
    ("prompt", "out", "line"),
    [
        (
            "invalid",
            "",
            "cascade: invalid argument: temperature: must be in [0, 100], got -1; alpha: no\n",
        ),
        (
            "overloaded",
            "",
            "cascade: resource exhausted: all 16 slots are taken; try again in 2.5 s\n",
        ),
        ("lost", TEXT, "cascade: unavailable: the expert is lost\n"),
    ],
)
def test_errors_are_one_line(
    capsys: Capture, address: str, prompt: str, out: str, line: str
) -> None:
    found = command(capsys, "generate", prompt, "--address", address)
    assert found == (1, out, line)


def test_what_came_of_an_answer_that_failed_is_in_its_json(capsys: Capture, address: str) -> None:
    found = command(capsys, "generate", "lost", "--json", "--address", address)
    assert found.status == 1
    assert found.err == "cascade: unavailable: the expert is lost\n"
    values = json.loads(found.out)
    assert (values["text"], values["finish_reason"]) == (TEXT, "failed")
    assert command(capsys, "generate", "invalid", "--json", "--address", address).out == ""


def test_nothing_running_says_so(
    capsys: Capture, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASCADE_STATE_DIR", str(tmp_path))
    for name in ("generate", "compare"):
        found = command(capsys, name, "hi")
        assert found[:2] == (1, "")
        assert "`cascade up`" in found.err
        assert len(found.err.splitlines()) == 1


def test_nobody_at_the_address(capsys: Capture) -> None:
    found = command(capsys, "generate", "hi", "--address", "127.0.0.1:1")
    assert found.status == 1
    assert found.err.startswith("cascade: can't reach a router at 127.0.0.1:1 (")
    assert len(found.err.splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [["--mode", "nobody"], ["--rule", "x"], ["--top-k", "-1"], ["--seed", str(2**64)]],
)
def test_what_cannot_be_asked_is_refused_here(capsys: Capture, options: list[str]) -> None:
    found = command(capsys, "generate", "hi", *options, "--address", "127.0.0.1:1")
    assert found.status == 2
    assert options[0] in found.err


def test_a_proxy_is_not_asked_for_this_machine(
    capsys: Capture, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert command(capsys, "generate", "hi", "--address", address).out == TEXT


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_cancels_the_call_and_keeps_what_came(
    address: str, router: FakeRouter, as_json: bool
) -> None:
    options = ["--json"] if as_json else []
    with start_process("generate", "endless", "--address", address, *options) as running:
        assert running.stdout is not None
        first = "" if as_json else running.stdout.read(len(TEXT))
        assert router.waiting.wait(20)
        time.sleep(0.5)  # for the tokens to arrive
        running.send_signal(signal.SIGINT)
        assert router.cancelled.wait(10)
        out, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "Traceback" not in err
    if as_json:
        values = json.loads(out)
        assert (values["text"], values["finish_reason"]) == (TEXT, "cancelled")
    else:
        assert first + out == TEXT
        assert err.endswith("4 tokens, then cancelled\n")


def test_a_terminal_gets_colours_and_no_control_sequences(address: str) -> None:
    main, terminal = pty.openpty()
    with os.fdopen(main, "rb", buffering=0) as screen:
        shown = b""
        with subprocess.Popen(
            [sys.executable, "-m", "router.cli.app", "generate", "hi", "--address", address],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, "TERM": "xterm-256color", "NO_COLOR": ""},
        ) as running:
            os.close(terminal)
            try:
                while part := screen.read(4096):
                    shown += part
            except OSError:  # how a terminal ends whose other side is closed
                pass
            assert running.wait(20) == 0
    assert b"\x1b[32mBuzz\x1b[0m" in shown
    assert b"[bold]Al" in shown
    assert b"drin\\x1b[2J" in shown
    assert b"\x1b[2J" not in shown
    assert b"75% the drafter's" in shown


def test_compare_asks_four_modes_with_one_seed(
    capsys: Capture, address: str, router: FakeRouter
) -> None:
    options = ["--rule", "opt", "--alpha", "0.5", "--temperature", "1", "--address", address]
    found = command(capsys, "compare", "hi", *options)
    assert found.status == 0
    modes = [law_pb2.Mode.Name(r.mode).removeprefix("MODE_").lower() for r in router.requests]
    assert modes == ["drafter", "expert", "speculative", "speculative_cascade"]
    assert [r.rule for r in router.requests] == [0, 0, 0, law_pb2.RULE_OPT]
    assert [r.HasField("alpha") for r in router.requests] == [False, False, False, True]
    assert not router.requests[0].HasField("seed")
    assert [r.seed for r in router.requests[1:]] == [2**63 + 1] * 3
    assert found.out.count(TEXT) == 3
    rows = [line.split() for line in found.out.splitlines() if " 0.25 s " in line]
    figures = ["4", "2.00", "0.25", "s", "0.75", "2.00", "1.00", "-"]
    assert rows[0] == ["drafter", "3", "1.50", "0.25", "s", "0.75", "1.50", "0.50", "token", "3"]
    assert rows[1:] == [[mode, *figures] for mode in modes[1:]]
    law = f"speculative_cascade, opt, alpha 0.5, temperature 1, seed {2**63 + 1}"
    assert found.out.endswith(f"; {law}\n")


def test_compare_as_json(capsys: Capture, address: str) -> None:
    found = command(capsys, "compare", "hi", "--json", "--address", address)
    values = json.loads(found.out)
    assert values["seed"] == 2**63 + 1
    drafter, expert = values["answers"]["drafter"], values["answers"]["expert"]
    assert (drafter["agreement"], drafter["common_prefix"]) == (0.5, 2)
    assert (expert["agreement"], expert["common_prefix"]) == (1.0, 4)
    assert drafter["token_ids"] == [11, 12, 99]
    assert values["answers"]["speculative_cascade"]["statistics"]["rounds"] == 2


def test_compare_stops_at_the_first_error(
    capsys: Capture, address: str, router: FakeRouter
) -> None:
    found = command(capsys, "compare", "invalid", "--address", address)
    assert found.status == 1
    assert "temperature: must be" in found.err
    assert len(router.requests) == 1
