"""The command line with the real services and the tiny pair, as a user has it."""

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from router.cli.processes import find
from router.cli.state import StateStore
from tests.services import ENVIRONMENT, TINY
from tests.unit.cli_command import Outcome, process, start_process

PROMPT = "def main("


class Cascade:
    """``cascade`` with a state directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.store = StateStore(folder / "run")
        self._environment = {**ENVIRONMENT, "CASCADE_STATE_DIR": str(self.store.directory)}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])

    def __call__(self, *arguments: str) -> Outcome:
        return process(*arguments, environment=self._environment)

    def up(self, *models: str) -> Outcome:
        """Starts the services."""
        return self("up", *models, "--dtype=float32", "--device=cpu", "--port", self.port)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Starts a command and does not wait for its end."""
        return start_process(*arguments, environment=self._environment)


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cascade]:
    """The tiny pair, started by ``up``, stopped by ``down``."""
    found = Cascade(tmp_path_factory.mktemp("cli"))
    started = found.up("--pair", "tiny")
    assert started.status == 0, started.err
    assert started.out.startswith(f"running: pair tiny at 127.0.0.1:{found.port}, ready in ")
    state = found.store.read()
    assert state is not None
    yield found
    stopped = found("down")
    assert (stopped.status, stopped.out.count(": stopped\n")) == (0, 3), stopped
    assert not any(map(find, state.services))


def test_a_second_up_says_that_it_runs(cascade: Cascade) -> None:
    again = cascade("up", "--pair", "tiny")
    assert again == (0, f"already running: pair tiny at 127.0.0.1:{cascade.port}\n", "")


def test_status(cascade: Cascade) -> None:
    found = cascade("status", "--json")
    assert found.status == 0
    values = json.loads(found.out)
    models = [(s["role"], s["health"], s["model"], s["dtype"]) for s in values["services"]]
    assert models == [
        ("drafter", "serving", "tiny/drafter", "float32 cpu"),
        ("expert", "serving", "tiny/expert", "float32 cpu"),
        ("router", "serving", None, None),
    ]
    assert [s["slots_free"] == s["slots_total"] for s in values["services"][:2]] == [True, True]


def test_lossless_equals_the_expert_and_other_modes_are_told_apart(cascade: Cascade) -> None:
    found = cascade("compare", PROMPT, "--max-tokens", "40", "--json")
    assert found.status == 0, found.err
    answers = json.loads(found.out)["answers"]
    assert answers["speculative"]["agreement"] == 1
    assert answers["speculative"]["token_ids"] == answers["expert"]["token_ids"]
    assert set(answers["drafter"]["origins"]) == {"drafter"}
    assert set(answers["expert"]["origins"]) == {"expert"}
    assert "accepted" in answers["speculative"]["origins"]
    for answer in answers.values():
        usage, statistics = answer["usage"], answer["statistics"]
        assert usage["completion_tokens"] == len(answer["token_ids"])
        assert sum(statistics["tokens_by_origin"].values()) >= len(answer["token_ids"])


def test_an_answer_and_its_line_of_statistics(cascade: Cascade) -> None:
    options = ["--temperature", "1", "--seed", "5", "--max-tokens", "30"]
    first = cascade("generate", PROMPT, *options)
    assert first.status == 0
    assert "tokens/s" in first.err.splitlines()[-1]
    assert "speculative_cascade, token_v3, alpha 0.8, temperature 1, seed 5" in first.err
    values = json.loads(cascade("generate", PROMPT, *options, "--json").out)
    assert first.out.removesuffix("\n") == values["text"].removesuffix("\n")


def test_mistakes_name_their_field(cascade: Cascade) -> None:
    found = cascade("generate", PROMPT, "--temperature", "-1", "--top-p", "0")
    assert (found.status, found.out, len(found.err.splitlines())) == (1, "", 1)
    assert "temperature: must be 0 or in [0.001, 100], got -1" in found.err
    assert "top_p: must be in (0, 1], got 0" in found.err
    coupled = cascade("generate", PROMPT, "--coupling", "gumbel")
    assert (coupled.status, len(coupled.err.splitlines())) == (1, 1)
    assert "coupling: gumbel takes mode speculative and rule lossless" in coupled.err


def test_every_mode_rule_and_form_has_its_options(cascade: Cascade) -> None:
    common = ["--temperature", "1", "--seed", "5", "--max-tokens", "12", "--json"]
    cases: list[tuple[list[str], dict[str, object]]] = [
        (["--mode", "token_cascade", "--rule", "chow_log"], {"rule": "chow_log"}),
        (["--mode", "sequence_cascade", "--confidence-quantile", "0.1"], {"rule": "chow"}),
        (["--rule", "token_v2", "--form", "gate"], {"form": "gate"}),
        (["--mode", "speculative", "--coupling", "gumbel"], {"coupling": "gumbel"}),
        (["--rule", "opt", "--candidates", "7"], {"candidates": 7, "alpha": 0.3}),
        (["--mode", "speculative", "--no-expert-alone"], {"rule": "lossless"}),
    ]
    answers = []
    for options, expected in cases:
        values = json.loads(cascade("generate", PROMPT, *options, *common).out)
        assert {name: values["law"][name] for name in expected} == expected
        answers.append(values)
    alone = json.loads(cascade("generate", PROMPT, "--mode", "expert", *common).out)
    assert answers[3]["token_ids"] == alone["token_ids"], "coupled lossless is the expert"


def test_log_probabilities_in_json(cascade: Cascade) -> None:
    options = ["--temperature", "1", "--seed", "2", "--max-tokens", "20", "--log-probs", "--json"]
    values = json.loads(cascade("generate", PROMPT, *options).out)
    assert len(values["log_probs"]) == len(values["token_ids"])
    for origin, by_model in zip(values["origins"], values["log_probs"], strict=True):
        assert set(by_model) == {"drafter", "expert", "target"}
        assert all(v == "-Infinity" or v <= 0 for v in by_model.values())
        assert by_model["drafter"] != "-Infinity" or origin == "resampled"


def test_ctrl_c_frees_the_slots(cascade: Cascade) -> None:
    with cascade.start("generate", "x" * 100, "--mode", "expert", "--block-length", "1") as running:
        assert running.stdout is not None
        assert running.stdout.read(1)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert err.endswith("tokens, then cancelled\n")
    services = json.loads(cascade("status", "--json").out)["services"]
    assert [s["slots_free"] == s["slots_total"] for s in services[:2]] == [True, True]


def test_two_tokenizers_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    expert = tmp_path / "expert"
    shutil.copytree(TINY / "expert", expert)
    tokenizer = json.loads((expert / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (expert / "tokenizer.json").write_text(json.dumps(tokenizer))
    cascade = Cascade(tmp_path)
    found = cascade.up("--drafter", str(TINY / "drafter"), "--expert", str(expert))
    assert found.status == 2
    line = found.err.splitlines()[-1]
    assert line.startswith("cascade: the router did not start: drafter tiny/drafter and expert ")
    assert "have different tokenizers" in line
    assert cascade.store.read() is None
    for child in psutil.process_iter(["cmdline"]):
        assert str(tmp_path) not in " ".join(child.info["cmdline"] or [])
