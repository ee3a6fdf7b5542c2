"""The pods of one role."""

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from functools import partial

import structlog
from cascade.v1 import model_pb2 as pb

from router.discovery import Discovery, View
from router.pool.choice import choose
from router.pool.follow import follow
from router.pool.lease import Lease
from router.pool.metrics import PoolMetrics
from router.pool.patience import Patience
from router.pool.pod import Identity, Pod, identity
from services.errors import PairMismatch, PeerLost
from services.serving.channels import PLAIN, ClientTls

log = structlog.get_logger()


class Pool:
    """Follows the discovered pods, and gives sessions to those that can replace each other."""

    def __init__(
        self,
        role: pb.Role.ValueType,
        discovery: Discovery,
        metrics: PoolMetrics,
        zone: str = "",
        tls: ClientTls = PLAIN,
    ) -> None:
        """Knows no pod yet.

        Args:
            role: of all of them.
            discovery: tells which there are.
            metrics: of all pools.
            zone: the router's own; its pods come first.
            tls: how pods are reached.
        """
        self._tls = tls
        self.role = pb.Role.Name(role).removeprefix("ROLE_").lower()
        """As people call it: drafter or expert."""
        self.patience = Patience()
        self._role = role
        self._discovery = discovery
        self._metrics = metrics
        self._zone = zone
        self._identity: Identity | None = None
        self._pods: dict[str, Pod] = {}
        self._followers: dict[Pod, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._discovering: asyncio.Task[None] | None = None
        metrics.watch(self)

    @property
    def pods(self) -> Collection[Pod]:
        """Those that were discovered."""
        return self._pods.values()

    async def first(self, timeout_s: float) -> Pod:
        """Starts; waits for a pod that answers: all others have to be like it.

        Raises:
            PeerLost: none did within ``timeout_s``.
            PairMismatch: all that there are were refused.
        """
        self._discovering = asyncio.create_task(self._discover())
        self._discovering.add_done_callback(self._discovery_ended)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    self._changed.clear()
                    for pod in self.pods:
                        if pod.info is not None and not pod.refused:
                            return pod
                    if self.refuses_all:
                        raise PairMismatch(next(iter(self.pods)).refused)
                    await self._changed.wait()
        where = ", ".join(self._pods) or "any address"
        raise PeerLost(f"no {self.role} at {where} within {timeout_s:g} s")

    @property
    def refuses_all(self) -> bool:
        """Whether there are pods, and none is like the first one: a router begun now takes them."""
        return bool(self._pods) and all(pod.refused for pod in self.pods)

    @property
    def context_length(self) -> int:
        """Tokens of the longest session that a pod can hold; 0 while none says."""
        return max((pod.context_length for pod in self.pods if not pod.refused), default=0)

    def lease(
        self, prompt: Sequence[int], length: int, without: Collection[Pod] = ()
    ) -> Lease | None:
        """A hold on the best pod that is available; None: there is none.

        Args:
            prompt: of the session; those that begin alike get the same pod of equals.
            length: tokens that the session may come to.
            without: pods that are not wanted.
        """
        available = {
            pod.address: pod
            for pod in self.pods
            if pod.state == "available" and pod.context_length >= length and pod not in without
        }
        best = choose([pod.load for pod in available.values()], self._zone, prompt)
        if best is None:
            return None
        return Lease(available[best.address], self._discovery.look_again, self._ended)

    async def close(self) -> None:
        """Stops, and closes all channels."""
        tasks = [*self._followers.values(), *filter(None, [self._discovering])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._closing, return_exceptions=True)
        for pod in [*self._followers]:
            await pod.channel.close()

    async def _discover(self) -> None:
        async with contextlib.aclosing(self._discovery.views()) as views:
            async for view in views:
                self._update(view)

    def _discovery_ended(self, discovering: asyncio.Task[None]) -> None:
        """Static discovery ends at once; otherwise the pods that there are stay all there is."""
        if not discovering.cancelled() and (error := discovering.exception()):
            log.error("discovery failed", role=self.role, exc_info=error)

    def _update(self, view: View) -> None:
        """Follows pods that came; lets go of those that went once their sessions are over."""
        for address, endpoint in view.items():
            if pod := self._pods.get(address):
                pod.endpoint = endpoint
            else:
                pod = self._pods[address] = Pod(endpoint, self._tls)
                self._followers[pod] = asyncio.create_task(
                    follow(
                        pod,
                        self._report,
                        self._changed.set,
                        partial(self._metrics.lost, self.role),
                    )
                )
                log.info("pod", role=self.role, address=address, zone=endpoint.zone)
        for address in [*self._pods]:
            if address not in view:
                pod = self._pods.pop(address)
                log.info("pod gone", role=self.role, address=address, sessions=pod.sessions)
                self._ended(pod)
        self._changed.set()

    def _ended(self, pod: Pod) -> None:
        """A session of the pod is over, or the pod is gone."""
        if self._pods.get(pod.address) is pod or pod.sessions or pod not in self._followers:
            return
        self._followers.pop(pod).cancel()
        closing = asyncio.create_task(pod.channel.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _report(self, pod: Pod, info: pb.GetModelInfoResponse) -> None:
        """Takes what a pod says of itself; refuses one that can't replace the others."""
        refused = self._why_refused(pod, info)
        if refused and refused != pod.refused:
            log.error("pod refused", role=self.role, address=pod.address, why=refused)
            self._metrics.refused(self.role)
        if pod.info is None and not refused:
            log.info(
                "peer",
                role=self.role,
                address=pod.address,
                model=info.model,
                dtype=info.dtype,
                slots=info.slots_total,
            )
        pod.info, pod.refused, pod.opened = info, refused, 0

    def _why_refused(self, pod: Pod, info: pb.GetModelInfoResponse) -> str:
        if info.role != self._role:
            other = pb.Role.Name(info.role).removeprefix("ROLE_").lower()
            return f"{pod.address} is to be the {self.role}, but it is the {other}"
        self._identity = self._identity or identity(info)
        names = ("tokenizer", "weights", "weights' format", "dtype", "draft vocabulary")
        differ = [
            f"{name} {ours[:12]} and {theirs[:12]}"
            for name, ours, theirs in zip(names, self._identity, identity(info), strict=True)
            if ours != theirs
        ]
        if not differ:
            return ""
        return (
            f"{pod.address} serves another model than the {self.role} that came first "
            f"({'; '.join(differ)}): it can't replace it"
        )
