"""What a pod tells of itself: metrics on a port of their own, and a line for each session."""

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cascade.v1 import law_pb2, router_pb2_grpc

from tests import services
from tests.client import make_request
from tests.services import TINY, Services
from tests.tls import open_blocking_channel

MODES = [law_pb2.MODE_EXPERT, law_pb2.MODE_SPECULATIVE]
PROMPT = "def main() -> None:\n    " * 4
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Services that log all and serve metrics, after two answers."""
    folder = tmp_path_factory.mktemp("told")
    flags = ("--device", "cpu", "--dtype", "float32", "--metrics-port", "0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(services.ENVIRONMENT, "CASCADE_LOG_LEVEL", "INFO")
        with services.running(
            folder, TINY / "drafter", TINY / "expert", flags, ("--metrics-port", "0")
        ) as running:
            with open_blocking_channel(running.address) as channel:
                stub = router_pb2_grpc.RouterServiceStub(channel)
                for mode in MODES:
                    request = make_request(prompt=PROMPT, max_tokens=20, mode=mode)
                    assert list(stub.Generate(request))
                with pytest.raises(grpc.RpcError):
                    list(stub.Generate(make_request(prompt=PROMPT, alpha=7.0)))
            yield running


def events(log: Path, name: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def metrics(log: Path) -> dict[str, float]:
    (event,) = events(log, "metrics")
    with urllib.request.urlopen(f"http://{event['address']}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    samples = re.findall(r"^(cascade:[^ ]+) (.+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in samples}


def test_the_experts_metrics(told: Services) -> None:
    found = metrics(told.expert.log)
    assert found["cascade:num_requests_running"] == found["cascade:num_requests_waiting"] == 0
    assert found["cascade:slots"] == 16
    assert found["cascade:kv_cache_usage_perc"] == 0
    assert found["cascade:weight_bytes"] > 1e6
    assert found["cascade:cache_bytes"] > 1e6
    # The second answer has the first one's prompt.
    queried, hits = (found[f"cascade:prefix_cache_{name}_total"] for name in ("queries", "hits"))
    assert 0 < hits < queried
    assert found["cascade:num_preemptions_total"] == 0
    for name in ("time_to_first_token_seconds", "request_time_per_output_token_seconds"):
        assert found[f"cascade:{name}_count"] == 2
        assert found[f"cascade:{name}_sum"] > 0
    passes = found["cascade:iteration_tokens_total_count"]
    assert passes == found["cascade:pass_sessions_count"] > 20
    by_phase = [
        found[f'cascade:pass_seconds_count{{part="model",phase="{p}"}}']
        for p in ("prefill", "decode")
    ]
    assert sum(by_phase) == passes
    assert min(by_phase) > 0


def test_the_routers_metrics(told: Services) -> None:
    found = metrics(told.router.log)
    assert found["cascade:num_requests_running"] == 0
    assert found['cascade:request_success_total{finished_reason="max_tokens"}'] == 2
    assert found['cascade:request_failure_total{error="InvalidField"}'] == 1
    assert found["cascade:prompt_tokens_total"] == 2 * len(PROMPT)
    by_origin = {name: n for name, n in found.items() if name.startswith("cascade:generation_tok")}
    assert by_origin.pop('cascade:generation_tokens_total{origin="expert"}') == 20
    assert sum(n for name, n in by_origin.items() if "_total{" in name) >= 20
    drafted, accepted = (
        found[f"cascade:spec_decode_num_{name}_tokens_total"] for name in ("draft", "accepted")
    )
    assert 0 < accepted <= drafted
    assert found["cascade:expert_alone_total"] == 0
    for name in ("time_to_first_token_seconds", "e2e_request_latency_seconds"):
        assert found[f"cascade:{name}_count"] == 2
        assert found[f"cascade:{name}_sum"] > 0


def test_a_line_for_each_session(told: Services) -> None:
    deadline = time.monotonic() + 20
    while len(events(told.expert.log, "session")) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    alone, speculative = events(told.expert.log, "session")
    assert alone["outcome"] == speculative["outcome"] == "closed"
    assert alone["steps"] == 1
    assert alone["tokens"] == 20
    assert alone["passes"] == 20
    assert alone["tokens_found"] == 0
    assert speculative["tokens_found"]
    (drafter,) = events(told.drafter.log, "session")
    assert drafter["tokens"]
    assert drafter["compute_s"]
    assert all(line["first_token_s"] for line in (alone, speculative, drafter))


def test_a_port_that_is_taken_is_told(tmp_path: Path, told: Services) -> None:
    (event,) = events(told.expert.log, "metrics")
    port = str(event["address"]).rpartition(":")[2]
    popen = services.launch(
        "services.expert", "late", tmp_path, "--model", str(TINY / "expert"), "--metrics-port", port
    )
    assert popen.wait(60) == 2
    last = (tmp_path / "late.log").read_text().splitlines()[-1]
    assert last == f"can't serve metrics on 127.0.0.1:{port}: Address already in use"


def test_alerts_and_autoscalers_ask_for_metrics_that_there_are(told: Services) -> None:
    there = {
        name.split("{")[0]
        for process in (told.drafter, told.expert, told.router)
        for name in metrics(process.log)
    }
    asked = set()
    for component in ("monitoring", "autoscaling"):
        for path in (ROOT / "k8s" / "components" / component).glob("*.yaml"):
            asked |= set(re.findall(r"cascade:[a-z_]+[a-z]", path.read_text()))
    assert {"cascade:num_requests_waiting", "cascade:kv_cache_usage_perc"} < asked
    assert asked - there == set()
