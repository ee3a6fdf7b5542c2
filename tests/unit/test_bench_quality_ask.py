"""Asking several problems at once: one system at a time, every answer kept, failures told."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cascade.v1 import router_pb2

from bench.answer import Answer
from bench.errors import ServiceFailed
from bench.progress import progress_bar
from bench.quality import ask as asked
from bench.quality.ask import Asking, ask
from bench.quality.kept import Kept, keeping
from bench.quality.problems import read_problems
from bench.quality.systems import DRAFTER, EXPERT, System
from tests.unit.bench_samples import an_answer

SYSTEMS = [DRAFTER, EXPERT]
AT_ONCE = 2


class Client:
    """In the router's place: notes who is asked and how many at a time, and may fail."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.modes: list[int] = []
        self.most = 0
        self._running = 0
        self._fails_at = fails_at
        self._lock = threading.Lock()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to close."""

    def answer(self, request: router_pb2.GenerateRequest) -> Answer:
        with self._lock:
            number = len(self.modes)
            self.modes.append(request.mode)
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            if number == self._fails_at:
                raise ServiceFailed("Generate: UNAVAILABLE: gone")
            time.sleep(0.01)
            return an_answer()
        finally:
            with self._lock:
                self._running -= 1


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with keeping(tmp_path, {}) as found:
        yield found


def run(client: Client, kept: Kept, problems: int, monkeypatch: pytest.MonkeyPatch) -> int:
    def services(pair: Any, pod_flags: Any) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1)  # any context

    monkeypatch.setattr(asked, "running", services)
    monkeypatch.setattr(asked, "Client", lambda router: client)
    monkeypatch.setattr(asked, "_warm_up", lambda *arguments: None)
    monkeypatch.setattr(asked, "_decoder", lambda pair: str)
    pair: Any = None
    asking = Asking(max_tokens=8, at_once=AT_ONCE, chat=False)
    with progress_bar(len(SYSTEMS) * problems) as bar:
        return ask(SYSTEMS, pair, read_problems(problems), kept, bar, asking)


def answered(kept: Kept, system: System, problems: int) -> int:
    return sum(kept.get(system.name, p.name) is not None for p in read_problems(problems))


def test_one_system_at_a_time_has_its_turn(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    client, problems = Client(), 15  # two turns of each
    assert run(client, kept, problems, monkeypatch) == 0
    assert client.most == AT_ONCE
    drafter, expert = DRAFTER.mode, EXPERT.mode
    assert client.modes == [drafter] * 10 + [expert] * 10 + [expert] * 5 + [drafter] * 5
    assert [answered(kept, system, problems) for system in SYSTEMS] == [problems, problems]
    assert run(client, kept, problems, monkeypatch) == 2 * problems
    assert len(client.modes) == 2 * problems  # nobody is asked twice


def test_a_failure_keeps_what_had_begun_and_asks_no_more(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, problems = Client(fails_at=4), 10
    with pytest.raises(ServiceFailed, match="UNAVAILABLE"):
        run(client, kept, problems, monkeypatch)
    begun = len(client.modes)
    assert begun < problems
    assert answered(kept, DRAFTER, problems) == begun - 1
    assert answered(kept, EXPERT, problems) == 0
    assert run(client, kept, problems, monkeypatch) == begun - 1
