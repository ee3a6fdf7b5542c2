"""``python -m bench.capacity.peer --role drafter``: in a pod's place, and decides nothing.

It answers every step at once with a message such as a simulated model's pod sends.  A round then
waits for the router, whose own core is what is to be measured, also where the machine has too few
cores for pods that keep up with it.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Literal

from cascade.v1 import (
    drafter_pb2,
    drafter_pb2_grpc,
    expert_pb2,
    expert_pb2_grpc,
    law_pb2,
    model_pb2,
    model_pb2_grpc,
)

from services.engine.simulated import SimulatedModel, Simulation
from services.pod.model_service import ModelServicer
from services.serving.server import Server
from services.serving.settings import ServerSettings, read
from services.serving.slots import Slots

_ACCEPTED = 3
"""Of each block; then comes the expert's own token."""
_CANDIDATES = law_pb2.Candidates(ids=[187, 119, *range(130, 192)], drops=[0, 10240, *[15360] * 62])
"""What a simulated drafter sends: two tokens that it thinks of, and the first of all others."""
_DRAFTED = law_pb2.DraftedToken(id=187, candidates=_CANDIDATES)
_RESAMPLED = expert_pb2.EmittedToken(id=119, origin=expert_pb2.ORIGIN_RESAMPLED, distance=0.0)


class PeerSettings(ServerSettings):
    """What it is."""

    role: Literal["drafter", "expert"] = "drafter"
    """In whose place."""


class _Drafter(drafter_pb2_grpc.DrafterServiceServicer):
    async def Draft(
        self, requests: AsyncIterator[drafter_pb2.DraftRequest], context: Any
    ) -> AsyncIterator[drafter_pb2.DraftResponse]:
        async for request in requests:
            if request.HasField("open"):
                yield drafter_pb2.DraftResponse(opened=drafter_pb2.DraftOpened())
                continue
            step = request.draft
            block = drafter_pb2.DraftedBlock(
                step_id=step.step_id,
                position=step.position + len(step.append),
                tokens=[_DRAFTED] * step.max_tokens,
                last=True,
                timing=_timing(step.max_tokens, step.max_tokens),
            )
            yield drafter_pb2.DraftResponse(block=block)


class _Expert(expert_pb2_grpc.ExpertServiceServicer):
    async def Verify(
        self, requests: AsyncIterator[expert_pb2.VerifyRequest], context: Any
    ) -> AsyncIterator[expert_pb2.VerifyResponse]:
        async for request in requests:
            if request.HasField("open"):
                yield expert_pb2.VerifyResponse(opened=expert_pb2.VerifyOpened())
                continue
            step = request.verify
            accepted = [
                expert_pb2.EmittedToken(
                    id=token.id, origin=expert_pb2.ORIGIN_ACCEPTED, distance=0.0
                )
                for token in step.block[:_ACCEPTED]
            ]
            ends = len(step.block) == len(accepted)
            verdict = expert_pb2.Verdict(
                step_id=step.step_id,
                position=step.position + len(step.append),
                accepted=len(accepted),
                tokens=accepted if ends else [*accepted, _RESAMPLED],
                timing=_timing(1, len(step.block) + 1),
            )
            yield expert_pb2.VerifyResponse(verdict=verdict)


def _timing(passes: int, tokens: int) -> law_pb2.StepTiming:
    return law_pb2.StepTiming(compute_ms=1.0, passes=passes, tokens=tokens)


async def _serve(settings: PeerSettings) -> None:
    drafts = settings.role == "drafter"
    facts = SimulatedModel(Simulation(), drafts=drafts).facts
    models = model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name
    server = Server(settings, [models])
    if drafts:
        server.add(partial(drafter_pb2_grpc.add_DrafterServiceServicer_to_server, _Drafter()))
    else:
        server.add(partial(expert_pb2_grpc.add_ExpertServiceServicer_to_server, _Expert()))
    role = model_pb2.ROLE_DRAFTER if drafts else model_pb2.ROLE_EXPERT
    servicer = ModelServicer(role, facts, Slots(facts.slots, 0))
    server.add(partial(model_pb2_grpc.add_ModelServiceServicer_to_server, servicer))

    async def closing() -> None:
        """There is nothing to close."""

    await server.serve(healthy=lambda: True, closing=closing)


if __name__ == "__main__":
    asyncio.run(_serve(read(PeerSettings)))
