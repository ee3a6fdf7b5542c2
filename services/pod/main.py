"""Starts a pod: settings, model, engine, server."""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import grpc
import structlog
import torch
from cascade.v1 import model_pb2, model_pb2_grpc
from pydantic import ValidationError
from transformers.utils.logging import disable_progress_bar

from services.engine.allocator import give_back_large_memory, keep_freed_memory
from services.engine.engine import Engine
from services.engine.model import INDUCTOR, Model, load
from services.engine.simulated import SimulatedModel
from services.errors import CascadeError, ModelUnsupported, PeerLost
from services.pod.metrics import PodMetrics
from services.pod.model_service import ModelServicer
from services.pod.settings import PodSettings
from services.pod.stream import Pod
from services.serving.listener import PortInUse
from services.serving.logs import configure_logs
from services.serving.metrics import serve_metrics
from services.serving.server import Server, end_at_once
from services.serving.settings import problems
from services.serving.slots import Slots

log = structlog.get_logger()

AddServicer = Callable[[Pod, grpc.aio.Server], None]


def main(role: model_pb2.Role.ValueType, service: str, add_servicer: AddServicer) -> None:
    """Serves a model in a role until SIGTERM; exits with one clear line where it can't."""
    configure_logs()
    end_at_once()
    give_back_large_memory()
    try:
        settings = PodSettings()
        log.info("settings", **settings.model_dump())
        if settings.threads:
            torch.set_num_threads(settings.threads)
        metrics = PodMetrics()
        engine = Engine(
            lambda: _load(settings, role),
            chunk=settings.chunk,
            gather=settings.gather,
            report=metrics.on_pass,
        )
        asyncio.run(_serve(settings, engine, metrics, role, service, add_servicer))
    except ValidationError as error:
        print("\n".join(problems(error)), file=sys.stderr)
        sys.exit(2)
    except (CascadeError, PortInUse, torch.OutOfMemoryError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _load(settings: PodSettings, role: model_pb2.Role.ValueType) -> Model:
    if settings.simulate is not None:
        return SimulatedModel(settings.simulate, drafts=role == model_pb2.ROLE_DRAFTER)
    if settings.draft_vocabulary and role != model_pb2.ROLE_DRAFTER:
        raise ModelUnsupported(
            "--draft-vocabulary: of a drafter alone; an expert's law stays whole"
        )
    log.info("loading", model=settings.model)
    disable_progress_bar()  # a log is no terminal
    model = load(
        Path(settings.model),
        device=settings.device,
        dtype=settings.dtype,
        weights=settings.weights,
        cache_bytes=settings.cache_bytes or None,
        cache_share=settings.cache_share or None,
        slots=settings.slots or None,
        backend=INDUCTOR if settings.compile else None,
        draft_vocabulary=settings.draft_vocabulary or None,
    )
    keep_freed_memory()
    model.cache.shares = settings.share_prefixes
    log.info(
        "loaded",
        model=model.facts.name,
        dtype=model.facts.dtype,
        device=model.facts.device,
        vocabulary_size=model.facts.vocabulary_size,
        context_length=model.facts.context_length,
        weights=model.facts.weights,
        weight_bytes=model.facts.weight_bytes,
        slots=model.facts.slots,
        cache_tokens=model.facts.cache_tokens,
        cache_bytes=model.facts.cache_bytes,
    )
    return model


async def _serve(
    settings: PodSettings,
    engine: Engine,
    metrics: PodMetrics,
    role: model_pb2.Role.ValueType,
    service: str,
    add_servicer: AddServicer,
) -> None:
    slots = Slots(engine.model.facts.slots, settings.max_waiting)
    models = model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name
    server = Server(
        settings,
        [service, models],
        on_end=lambda: slots.refuse(PeerLost("the server takes no new sessions: it is to end")),
    )
    pod = Pod(engine, slots, metrics)
    server.add(partial(add_servicer, pod))
    models_servicer = ModelServicer(role, engine.model.facts, slots)
    server.add(partial(model_pb2_grpc.add_ModelServiceServicer_to_server, models_servicer))

    metrics.watch(engine, slots, asyncio.get_running_loop())
    serve_metrics(settings, metrics.registry)

    async def closing() -> None:
        await asyncio.to_thread(engine.stop)

    await server.serve(
        healthy=lambda: pod.healthy(settings.longest_pass_s),
        closing=closing,
        end_sessions=pod.end_sessions,
    )
