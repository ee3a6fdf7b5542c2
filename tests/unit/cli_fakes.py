"""What tests of the command line talk to in place of models: a service of any of the three roles.

As a module it serves as a process with the flags of a real one.  The name of its "model" folder
makes it fail: ``broken`` ends with a line on standard error, ``endless`` never serves, ``late`` is
healthy only after a while, ``stubborn`` ignores SIGTERM.  FAKE_ROUTER_DELAY_S holds up the router.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from cascade.v1 import expert_pb2, law_pb2, model_pb2, model_pb2_grpc, router_pb2, router_pb2_grpc
from google.rpc import code_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from services.errors import InvalidField, Overloaded
from services.serving.law import with_defaults
from services.serving.status import rich_status

ANSWER = [
    (11, "Buzz", expert_pb2.ORIGIN_ACCEPTED),
    (12, " [bold]Al", expert_pb2.ORIGIN_TRUSTED),
    (13, "drin\x1b[2J", expert_pb2.ORIGIN_RESAMPLED),
    (14, "é\n", expert_pb2.ORIGIN_ACCEPTED),
]
"""Id, text and origin of each token; one holds markup, one a control sequence."""


class FakeRouter(router_pb2_grpc.RouterServiceServicer):
    """Answers the same to everybody; the prompt chooses what goes wrong."""

    def __init__(self) -> None:
        self.requests: list[router_pb2.GenerateRequest] = []
        self.waiting = threading.Event()
        self.cancelled = threading.Event()

    def Generate(self, request: router_pb2.GenerateRequest, context: Any) -> Iterator[Any]:
        """One token a message."""
        self.requests.append(request)
        if request.text == "invalid":
            error = InvalidField(("temperature", "must be in [0, 100], got -1"), ("alpha", "no\n"))
            rich = rich_status(error)
            rich.message = "invalid request"
            context.abort_with_status(rpc_status.to_status(rich))
        if request.text == "overloaded":
            error = rich_status(Overloaded("all 16 slots are taken", 2.5))
            context.abort_with_status(rpc_status.to_status(error))
        law = law_pb2.Law(mode=request.mode, rule=request.rule, alpha=request.alpha)
        law.temperature, law.seed = request.temperature, request.seed or 2**63 + 1
        law = with_defaults(law, alpha_given=request.HasField("alpha"))
        yield router_pb2.GenerateResponse(
            started=router_pb2.Started(request_id="r1", law=law, prompt_tokens=3, max_tokens=9)
        )
        answer = ANSWER[: request.max_tokens or None]
        if request.mode == law_pb2.MODE_DRAFTER:
            answer = [*answer[:2], (99, "x", expert_pb2.ORIGIN_DRAFTER)]
        for token_id, text, origin in answer:
            token = router_pb2.GeneratedToken(id=token_id, text=text, origin=origin)
            yield router_pb2.GenerateResponse(tokens=router_pb2.GeneratedTokens(tokens=[token]))
        if request.text == "endless":
            context.add_callback(self.cancelled.set)
            self.waiting.set()
            self.cancelled.wait(30)
            return
        if request.text == "lost":
            status = status_pb2.Status(code=code_pb2.UNAVAILABLE, message="the expert is lost")
            context.abort_with_status(rpc_status.to_status(status))
        yield router_pb2.GenerateResponse(finished=_finished(len(answer)))


def _finished(tokens: int) -> router_pb2.Finished:
    return router_pb2.Finished(
        reason=router_pb2.FINISH_REASON_STOP_STRING,
        stop_string="END",
        usage=router_pb2.Usage(prompt_tokens=3, completion_tokens=tokens),
        statistics=router_pb2.Statistics(
            rounds=2,
            acceptance_rate=0.75,
            tokens_per_round=tokens / 2,
            time_to_first_token_ms=250,
            total_ms=2000,
            tokens_by_origin={"accepted": 2},
            accepted_by_position=[2, 1],
            may_change_expert_law=True,
        ),
    )


class FakeModel(model_pb2_grpc.ModelServiceServicer):
    """Says of itself what it was given."""

    def __init__(self, model: str, dtype: str) -> None:
        self._info = model_pb2.GetModelInfoResponse(
            model=model, dtype=dtype, device="cpu", slots_total=16, slots_free=15
        )

    def GetModelInfo(self, request: Any, context: Any) -> model_pb2.GetModelInfoResponse:
        """The model."""
        return self._info

    def GetTokenizer(self, request: Any, context: Any) -> Iterator[model_pb2.GetTokenizerResponse]:
        """None: the command line asks for no tokenizer."""
        return iter(())


@contextmanager
def serving(*, router: FakeRouter | None = None, model: FakeModel | None = None) -> Iterator[str]:
    """Serves while the block runs; gives the address."""
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        port = _serve(server, "127.0.0.1:0", router, model)
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def _serve(
    server: grpc.Server,
    address: str,
    router: FakeRouter | None,
    model: FakeModel | None,
    late_s: float = 0.0,
) -> int:
    healthy = health.HealthServicer()
    healthy.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    serving = threading.Timer(late_s, healthy.set, ("", health_pb2.HealthCheckResponse.SERVING))
    serving.start()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    if router:
        router_pb2_grpc.add_RouterServiceServicer_to_server(router, server)
    if model:
        model_pb2_grpc.add_ModelServiceServicer_to_server(model, server)
    port = server.add_insecure_port(address)
    server.start()
    return port


def main() -> None:
    """Serves as a process until SIGTERM."""
    parser = argparse.ArgumentParser()
    for flag in (
        "host",
        "port",
        "port-file",
        "model",
        "dtype",
        "device",
        "weights",
        "gather",
        "cache-share",
        "grace-s",
        "draft-vocabulary",
        "draft-ahead",
        "drafter",
        "expert",
    ):
        parser.add_argument(f"--{flag}")
    flags = parser.parse_args()
    name = Path(flags.model or "router").name
    print('{"event": "starting"}', file=sys.stderr, flush=True)
    if name == "broken":
        print("broken: layers of type sliding can't be rolled back", file=sys.stderr)
        print('{"event": "ended"}', file=sys.stderr)
        sys.exit(2)
    if name == "endless":
        time.sleep(60)
    if name == "router":
        time.sleep(float(os.environ.get("FAKE_ROUTER_DELAY_S", "0")))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if name == "stubborn" else lambda *_: stop.set())
    server = grpc.server(ThreadPoolExecutor(4))
    router = None if flags.model else FakeRouter()
    model = FakeModel(name, flags.dtype) if flags.model else None
    late = 2.0 if name == "late" else 0.0
    port = _serve(server, f"{flags.host}:{flags.port}", router, model, late)
    part = Path(f"{flags.port_file}.part")
    part.write_text(str(port))
    part.rename(flags.port_file)
    while not stop.wait(60):
        pass
    server.stop(0.1).wait()


if __name__ == "__main__":
    main()
