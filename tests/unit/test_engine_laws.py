"""Sessions of different laws share passes, and each gets what it gets alone."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue

import pytest
import torch
from cascade.v1 import expert_pb2, law_pb2

from services.engine.engine import Engine
from services.engine.model import load
from services.engine.passes import PassReport
from services.engine.session import Session
from services.errors import CascadeError
from services.expert.decode import DecodeStep
from services.pod.law import SessionLaw
from services.serving import law as laws
from services.tokens import TokenSequence
from tests.services import TINY

PROMPT = list(b"def f(x):\n    return ")
TOKENS = 24


@dataclass(frozen=True)
class Asked:
    """What sessions differ in."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 1
    log_probs: bool = False


MIX = [
    Asked(),
    Asked(log_probs=True),
    Asked(temperature=1.0),
    Asked(temperature=1.0, seed=2),
    Asked(temperature=1.0, seed=2, log_probs=True),
    Asked(temperature=1.0, top_k=3),
    Asked(temperature=0.5, top_p=0.8),
]

Emitted = expert_pb2.DecodedTokens | CascadeError


class GatedStep(DecodeStep):
    """Holds the worker back until all others have been submitted."""

    gate: threading.Event

    def begin(self, session: Session) -> bool:
        assert self.gate.wait(20)
        return super().begin(session)


@pytest.fixture
def reports() -> list[PassReport]:
    return []


@pytest.fixture
def engine(reports: list[PassReport]) -> Iterator[Engine]:
    torch.set_num_threads(1)
    engine = Engine(
        lambda: load(TINY / "expert", device="cpu", dtype="float32"), report=reports.append
    )
    yield engine
    engine.stop()


def decode(engine: Engine, mix: list[Asked]) -> list[list[tuple[int, float]]]:
    """The tokens of each, and their log-probabilities (1: there are none), all decoded at once."""
    gate = threading.Event()
    running = []
    for asked in mix:
        law = law_pb2.Law(
            mode=law_pb2.MODE_EXPERT,
            temperature=asked.temperature,
            top_k=asked.top_k,
            top_p=asked.top_p,
            seed=asked.seed,
            candidates=8,
        )
        request = expert_pb2.DecodeStep(
            append=PROMPT,
            prefix_hash=TokenSequence(PROMPT).hash(),
            max_tokens=TOKENS,
            piece_length=TOKENS,
        )
        emitted: SimpleQueue[Emitted] = SimpleQueue()
        step = GatedStep(
            request,
            engine.model.facts,
            SessionLaw.from_proto(laws.with_defaults(law, alpha_given=False)),
            frozenset(),
            emitted.put,
            log_probs=asked.log_probs,
        )
        step.gate = gate
        session = engine.open()
        engine.submit(session, step)
        running.append((session, emitted))
    gate.set()
    decoded = []
    for session, emitted in running:
        result = emitted.get(timeout=60)
        assert isinstance(result, expert_pb2.DecodedTokens), result
        decoded.append(
            [
                (token.id, token.log_probs.target if token.HasField("log_probs") else 1.0)
                for token in result.tokens
            ]
        )
        engine.close(session).result(20)
    return decoded


def test_sessions_of_different_laws_share_passes(engine: Engine, reports: list[PassReport]) -> None:
    together = decode(engine, MIX)
    assert sum(report.sessions == len(MIX) for report in reports) > TOKENS / 2
    for asked, mine in zip(MIX, together, strict=True):
        (alone,) = decode(engine, [asked])
        assert [token for token, _ in mine] == [token for token, _ in alone]
        assert [p for _, p in mine] == pytest.approx([p for _, p in alone], abs=1e-4)
        assert all(asked.log_probs == (p <= 0) for _, p in mine)
    assert len({tuple(token for token, _ in mine) for mine in together}) >= 4, "the laws differ"
