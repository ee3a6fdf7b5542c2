"""A client of the router that times what it receives."""

import time
from types import TracebackType
from typing import cast

import grpc
from cascade.v1 import law_pb2, router_pb2, router_pb2_grpc

from bench.answer import Answer
from bench.errors import ServiceFailed
from services.serving.options import CHANNEL_OPTIONS


class Client:
    """One channel to a router.  Blocking: threads may share it, each with an answer of its own."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub = router_pb2_grpc.RouterServiceStub(self._channel)
        self.laws: dict[int, law_pb2.Law] = {}
        """The law of the last answer in each mode, the router's defaults filled in."""

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()

    def answer(self, request: router_pb2.GenerateRequest) -> Answer:
        """One answer.

        Raises:
            ServiceFailed: the call failed.
        """
        token_ids: list[int] = []
        finished = router_pb2.Finished()
        first_s, first_tokens, groups = 0.0, 1, 0
        start = time.perf_counter()
        try:
            for response in self._stub.Generate(request):
                match response.WhichOneof("event"):
                    case "started":
                        self.laws[response.started.law.mode] = response.started.law
                    case "tokens":
                        if not token_ids:
                            first_s = time.perf_counter() - start
                            first_tokens = len(response.tokens.tokens)
                        groups += 1
                        token_ids.extend(token.id for token in response.tokens.tokens)
                    case _:
                        finished = response.finished
        except grpc.RpcError as error:
            call = cast(grpc.Call, error)  # raised errors are calls, too
            raise ServiceFailed(f"Generate: {call.code().name}: {call.details()}") from error
        total_s = time.perf_counter() - start
        ended = finished.HasField("end_token_id")
        return Answer(
            token_ids=tuple(token_ids),
            end_token_id=finished.end_token_id if ended else None,
            first_s=first_s or total_s,
            total_s=total_s,
            groups=groups,
            first_tokens=first_tokens,
            statistics=finished.statistics,
            stop_string=finished.stop_string if finished.HasField("stop_string") else None,
        )
