"""A session on a drafter's engine, driven step by step."""

from queue import SimpleQueue

from cascade.v1 import drafter_pb2 as pb

from services.drafter.draft import DraftStep
from services.engine.engine import Engine
from services.engine.session import Session
from services.errors import CascadeError
from services.pod.law import SessionLaw

Result = pb.DraftedBlock | pb.DraftedForks | CascadeError


class Drafting:
    """A session, and what its steps gave."""

    def __init__(self, engine: Engine, law: SessionLaw) -> None:
        self.engine, self.law = engine, law
        self.session: Session = engine.open()
        self.results: SimpleQueue[Result] = SimpleQueue()

    def submit(self, request: pb.DraftStep) -> None:
        facts, take = self.engine.model.facts, self.results.put
        step = DraftStep(request, facts, self.law, frozenset(), take, emit_forks=take)
        self.engine.submit(self.session, step)

    def block(self) -> pb.DraftedBlock:
        result = self.results.get(timeout=20)
        assert isinstance(result, pb.DraftedBlock), result
        return result

    def forks(self) -> pb.DraftedForks:
        result = self.results.get(timeout=20)
        assert isinstance(result, pb.DraftedForks), result
        return result

    def close(self) -> None:
        self.engine.close(self.session).result(20)


def ids(block: pb.DraftedBlock) -> list[int]:
    return [token.id for token in block.tokens]
