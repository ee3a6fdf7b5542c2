"""Calibrating the tiny pair with the real services, from the command to the JSON."""

import json
import pydoc_data.topics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cascade.v1 import drafter_pb2

from services.calibrate.collect import Sample, collect
from services.calibrate.outcome import evaluate
from services.calibrate.positions import drafted
from services.calibrate.prompts import Prompt
from services.calibrate.rounds import expected_rounds
from services.calibrate.services import Addresses, connected
from services.calibrate.services import Services as Calls
from services.calibrate.setting import Setting
from services.rules.registry import RULES
from tests.services import ENVIRONMENT, Services
from tests.tls import client_variables
from tests.unit.cli_command import Outcome, process

TEXTS = sorted(pydoc_data.topics.topics.values())
PROMPTS = [" ".join(text.split())[:30] for text in TEXTS[:6]]
NAMED = [Prompt(text, text) for text in PROMPTS]


@pytest.fixture
def calls(tiny_services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    for name, value in client_variables().items():
        monkeypatch.setenv(name, value)
    addresses = Addresses(
        tiny_services.address, tiny_services.drafter.address, tiny_services.expert.address
    )
    with connected(addresses) as services:
        yield services


class Cascade:
    """``cascade calibrate`` on six prompts, as a user has it."""

    def __init__(self, services: Services, folder: Path) -> None:
        self._addresses = [
            f"--address={services.address}",
            f"--drafter-address={services.drafter.address}",
            f"--expert-address={services.expert.address}",
        ]
        self.folder = folder
        self._prompts = folder / "prompts.jsonl"
        self._prompts.write_text("".join(json.dumps({"prompt": p}) + "\n" for p in PROMPTS))

    def __call__(self, *arguments: str) -> Outcome:
        command = ["calibrate", str(self._prompts), *self._addresses, *arguments]
        return process(*command, environment=ENVIRONMENT | client_variables())


@pytest.fixture
def cascade(tiny_services: Services, tmp_path: Path) -> Cascade:
    return Cascade(tiny_services, tmp_path)


def test_ensemble_from_the_expert_to_the_drafter(cascade: Cascade) -> None:
    """Its distance is alpha TV(p, q), its acceptance 1 - (1 - alpha) TV(p, q)."""
    picture = cascade.folder / "ensemble.png"
    found = cascade(
        *("--rule=ensemble", "--alphas=0,0.25,0.5,1", "--temperature=1", "--max-tokens=16"),
        *("--max-distance=0.25", "--json", f"--plot={picture}"),
    )
    assert (found.status, found.err) == (0, "")
    values = json.loads(found.out)
    assert (values["prompts"], values["setting"]["rule"]) == (6, "ensemble")
    assert 6 <= values["tokens"] <= 6 * 16
    rows: list[dict[str, Any]] = values["alphas"]
    apart = rows[-1]["distance"]
    assert 0.1 < apart < 0.6, "the two models are"
    for row in rows:
        assert row["distance"] == pytest.approx(row["alpha"] * apart, abs=1e-6)
        assert row["acceptance"] == pytest.approx(1 - (1 - row["alpha"]) * apart, abs=1e-6)
        assert row["expert_share"] is None
        assert 1 <= row["tokens_per_round"] <= 5
        assert row["speed_up"] > 0
    assert rows[0]["distance"] == 0
    assert rows[0]["acceptance"] == pytest.approx(values["lossless"]["acceptance"])
    fitting = [row["alpha"] for row in rows if row["distance_bound"] <= 0.25]
    assert values["recommendation"]["alpha"] == max(fitting)
    live = values["live"]
    assert live["distance"] == pytest.approx(values["recommendation"]["distance"], abs=0.15)
    assert live["within_promise"] == (live["distance"] <= 0.25)
    assert live["tokens_per_s"] > 0
    assert live["expert_tokens_per_s"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_greedy_token_v3_for_people(cascade: Cascade) -> None:
    """What is told at temperature 0, where the live answers can be foreseen."""
    found = cascade("--alphas=0,0.5,1", "--max-tokens=16", "--max-distance=0")
    assert (found.status, found.err) == (0, "")
    rows = {line.split()[0]: line.split() for line in found.out.splitlines() if line.strip()}
    # Alpha 0 keeps the expert's favourites alone: at temperature 0 that is lossless.
    assert rows["0"][1] == rows["lossless"][1]
    assert rows["0"][4:6] == ["0.0000", "0.0000"]
    assert rows["1"][1] == "1.000"
    assert "recommended: alpha 0, the largest that keeps the distance within 0" in found.out
    assert found.out.endswith("the live distance 0.0000 is within 0, the limit\n")


def test_limits_that_nothing_satisfies(cascade: Cascade) -> None:
    found = cascade("--rule=chow", "--alphas=0,0.1", "--max-tokens=8", "--max-expert-share=0.01")
    assert (found.status, found.err) == (1, "")
    assert "no recommendation: no alpha of these keeps the expert's share within 0.01" in found.out


def test_a_refused_prompt_is_named(cascade: Cascade) -> None:
    found = cascade("--max-tokens=600")
    assert (found.status, found.out, len(found.err.splitlines())) == (1, "", 1)
    assert found.err.startswith("error: line 1: router: invalid argument: max_tokens: must be in ")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_lossless_is_foreseen(calls: Calls, temperature: float) -> None:
    """At temperature 0 its rounds, exactly; above, it is never nearer than the expert itself."""
    setting = Setting(temperature=temperature, max_tokens=24, block_length=4, seed=5)
    rule = RULES["lossless"]
    samples: list[Sample] = list(collect(calls, setting, NAMED))
    for sample in samples:
        statistics = sample.answer.statistics
        outcome = evaluate(rule, 0.0, sample.positions)
        assert len(sample.positions) == len(sample.answer.ids)
        assert float(outcome.distance.max()) == 0
        assert sample.expert_steps.passes == sample.drafter_steps.passes == 8
        if temperature == 0:
            chances = outcome.acceptance.tolist()
            assert set(chances) <= {0.0, 1.0}
            assert expected_rounds(chances, 4, bonus=True) == statistics.rounds
            assert outcome.agreement.tolist() == [1.0] * len(sample.answer.ids)


def test_a_long_answer_is_scored_in_pieces(calls: Calls) -> None:
    """More tokens than a step scores: a greedy answer seldom ends."""
    setting = Setting(max_tokens=300, block_length=4)
    (sample,) = collect(calls, setting, NAMED[:1])
    assert len(sample.positions) == len(sample.answer.ids) == 300
    chances = evaluate(RULES["lossless"], 0.0, sample.positions).acceptance.tolist()
    assert expected_rounds(chances, 4, bonus=True) == sample.answer.statistics.rounds


def test_q_is_what_the_drafter_samples_from(calls: Calls) -> None:
    """The candidates that cross with drafted tokens are those that are rebuilt from scores."""
    setting = Setting(temperature=0.7, top_p=0.95, candidates=32, max_tokens=8)
    answer = calls.answer(setting.lossless_request(NAMED[0], 0))
    context = list(answer.started.prompt_token_ids)
    request = drafter_pb2.DraftRequest
    _, drafts = calls.draft(
        [
            request(open=drafter_pb2.OpenDraft(law=answer.started.law)),
            request(draft=drafter_pb2.DraftStep(step_id=1, append=context, max_tokens=12)),
        ]
    )
    tokens = list(drafts.block.tokens)
    score = drafter_pb2.DraftRequest().score
    score.step_id, score.candidates = 1, 32
    score.append.extend(context)
    score.continuation.extend(token.id for token in tokens)
    _, scored = calls.draft(
        [request(open=drafter_pb2.OpenDraft(law=answer.started.law)), request(score=score)]
    )
    for token, position in zip(tokens, scored.scored.positions, strict=True):
        pairs = drafted(position, greedy=False)
        assert [i for i, _ in pairs] == list(token.candidates.ids)
        # float32 on the wire may round a drop the other way.
        for (_, mine), theirs in zip(pairs, token.candidates.drops, strict=True):
            assert abs(mine - theirs) <= 1
