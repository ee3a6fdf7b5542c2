"""Calls to the three services, one at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar, cast

import grpc
from cascade.v1 import (
    drafter_pb2,
    drafter_pb2_grpc,
    expert_pb2,
    expert_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    router_pb2,
    router_pb2_grpc,
)

from services.calibrate.errors import ServiceFailed, UsageError
from services.serving.access import Access
from services.serving.channels import open_blocking_channel

Result = TypeVar("Result")

_PROBE_S = 10.0
_ROLES = {"drafter": model_pb2.ROLE_DRAFTER, "expert": model_pb2.ROLE_EXPERT}


@dataclass(frozen=True)
class Addresses:
    """Where the services are, host:port each."""

    router: str
    drafter: str
    expert: str


@dataclass
class Answer:
    """An answer of the router."""

    started: router_pb2.Started = field(default_factory=router_pb2.Started)
    finished: router_pb2.Finished = field(default_factory=router_pb2.Finished)
    ids: list[int] = field(default_factory=list)
    """All tokens that were decided: the end token, too, if one ended the answer."""

    @property
    def statistics(self) -> router_pb2.Statistics:
        """How it went."""
        return self.finished.statistics


class Services:
    """A channel to each of the services."""

    def __init__(
        self,
        addresses: Addresses,
        channels: dict[str, grpc.Channel],
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """``metadata``: of calls to the router."""
        self._addresses = addresses
        self._metadata = metadata
        self._channels = channels
        self._router = router_pb2_grpc.RouterServiceStub(channels["router"])
        self._drafter = drafter_pb2_grpc.DrafterServiceStub(channels["drafter"])
        self._expert = expert_pb2_grpc.ExpertServiceStub(channels["expert"])

    def models(self) -> dict[str, model_pb2.GetModelInfoResponse]:
        """What drafter and expert say of themselves, by their role.

        Raises:
            ServiceFailed: one can't be reached or is something else, or they do not fit together.
        """
        found = {}
        for role, number in _ROLES.items():
            stub = model_pb2_grpc.ModelServiceStub(self._channels[role])
            ask = partial(stub.GetModelInfo, model_pb2.GetModelInfoRequest(), timeout=_PROBE_S)
            info = self._call(role, ask)
            if info.role != number:
                raise ServiceFailed(f"what serves at {self._address(role)} is no {role}")
            found[role] = info
        if found["drafter"].tokenizer_fingerprint != found["expert"].tokenizer_fingerprint:
            raise ServiceFailed("drafter and expert do not fit together: their tokenizers differ")
        return found

    def answer(self, request: router_pb2.GenerateRequest) -> Answer:
        """One answer.

        Raises:
            ServiceFailed: the router can't be reached, or refused or lost the call.
        """
        answer = Answer()
        ask = partial(self._router.Generate, request, metadata=self._metadata)
        for response in self._call("router", lambda: list(ask())):
            match response.WhichOneof("event"):
                case "started":
                    answer.started = response.started
                case "tokens":
                    answer.ids += [token.id for token in response.tokens.tokens]
                case _:
                    answer.finished = response.finished
        if answer.finished.HasField("end_token_id"):
            answer.ids.append(answer.finished.end_token_id)
        return answer

    def draft(
        self, requests: Sequence[drafter_pb2.DraftRequest]
    ) -> list[drafter_pb2.DraftResponse]:
        """A session with the drafter, all of its messages; gives the answers to them.

        Raises:
            ServiceFailed: as above.
        """
        return self._call("drafter", lambda: list(self._drafter.Draft(iter(requests))))

    def verify(
        self, requests: Sequence[expert_pb2.VerifyRequest]
    ) -> list[expert_pb2.VerifyResponse]:
        """The same with the expert.

        Raises:
            ServiceFailed: as above.
        """
        return self._call("expert", lambda: list(self._expert.Verify(iter(requests))))

    def _address(self, role: str) -> str:
        return str(getattr(self._addresses, role))

    def _call(self, role: str, call: Callable[[], Result]) -> Result:
        """Makes a call; tells a failed one in one line."""
        try:
            return call()
        except grpc.RpcError as error:
            failed = cast(grpc.Call, error)  # raised errors are calls, too
            code, details = failed.code(), " ".join((failed.details() or "no details").split())
            if code == grpc.StatusCode.UNAVAILABLE:
                text = f"can't reach the {role} at {self._address(role)} ({details})"
            else:
                text = f"{role}: {code.name.replace('_', ' ').lower()}: {details}"
            raise ServiceFailed(text) from error


@contextmanager
def connected(addresses: Addresses) -> Iterator[Services]:
    """Channels to the services while the block runs, as ``Access`` says.  Nothing is called yet.

    Raises:
        UsageError: TLS or the API key is not usable as given.
    """
    with ExitStack() as stack:
        access = Access()
        try:
            metadata = access.metadata(addresses.router)
            channels = {
                role: open_blocking_channel(str(getattr(addresses, role)), access.tls)
                for role in ("router", "drafter", "expert")
            }
        except ValueError as error:
            raise UsageError(str(error)) from error
        for channel in channels.values():
            stack.enter_context(channel)
        yield Services(addresses, channels, metadata)
