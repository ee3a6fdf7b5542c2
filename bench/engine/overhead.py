"""What the engine adds to the model alone on the same packed input."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cascade.v1 import expert_pb2, law_pb2

from bench.progress import Bar
from services.engine.model import Model
from services.engine.passes import begin, run
from services.engine.schedule import CHUNK, choose, left
from services.engine.session import Queued, Session
from services.errors import CascadeError
from services.expert.decode import DecodeStep
from services.pod.law import SessionLaw
from services.serving import law as laws
from services.tokens import TokenSequence

CONTEXT = 128


@dataclass
class Overhead:
    """Seconds of each repeat."""

    sessions: int
    passes: list[float] = field(default_factory=list)
    """All of a pass: choosing, packing, the model, sampling, the answers' messages."""
    forwards: list[float] = field(default_factory=list)
    """The model alone on the same packed input."""


def measure(model: Model, sessions: int, repeats: int, bar: Bar) -> Overhead:
    """Decodes in several sessions; after each pass its input is computed once more, alone."""
    bar.say(f"overhead: {sessions} at once")
    found = Overhead(sessions)
    turn = [_decoding(model, i, repeats + 4) for i in range(sessions)]
    everyone = [session for session, _ in turn]
    for repeat in range(-3, repeats):
        start = time.perf_counter()
        for session, queued in turn:
            left(session, queued)
        pieces = choose(turn, everyone, CHUNK)
        parts = [piece.part for piece in pieces]
        run(model, pieces)
        whole = time.perf_counter() - start
        for part in parts:  # the same input: the slots hold all but what was fed
            part.slot.truncate(part.slot.length - len(part.tokens))
            assert part.slot.reserve(len(part.tokens)), "there was room before"
        packed = model.packed(parts)
        start = time.perf_counter()
        model.compute(packed)
        alone = time.perf_counter() - start
        for part in parts:
            part.slot.extend(part.tokens)
        if repeat >= 0:
            found.passes.append(whole)
            found.forwards.append(alone)
    for session, _ in turn:
        session.slot.truncate(0)
    bar.advance()
    return found


def decode_step(
    model: Model,
    context: Sequence[int],
    tokens: int,
    emit: Callable[[expert_pb2.DecodedTokens | CascadeError], None],
) -> DecodeStep:
    """Greedy decoding behind a context, a message for each token."""
    law = laws.with_defaults(
        law_pb2.Law(mode=law_pb2.MODE_EXPERT, top_p=1, candidates=64), alpha_given=False
    )
    request = expert_pb2.DecodeStep(
        append=context,
        prefix_hash=TokenSequence(context).hash(),
        max_tokens=tokens,
        piece_length=1,
    )
    return DecodeStep(request, model.facts, SessionLaw.from_proto(law), frozenset(), emit)


def _decoding(model: Model, i: int, passes: int) -> tuple[Session, Queued]:
    """A session behind a context of its own, that decodes."""

    def emit(item: expert_pb2.DecodedTokens | CascadeError) -> None:
        if isinstance(item, CascadeError):
            raise item
        expert_pb2.VerifyResponse(decoded=item)

    session = Session(model)
    context = [(7 * i + j) % 251 for j in range(CONTEXT)]
    queued = Queued(decode_step(model, context, passes + 1, emit))
    begin(session, queued)
    left(session, queued)
    run(model, choose([(session, queued)], [session], CONTEXT))
    return session, queued
