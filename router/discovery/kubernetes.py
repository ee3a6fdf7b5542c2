"""The pods of a Service, as Kubernetes tells: its EndpointSlices, listed, then watched.

The client is synchronous, so a thread of its own does both.  Whatever ends a watch, it lists anew:
a list is the whole truth, so that a missed, repeated or expired event can't leave a wrong view.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncGenerator
from typing import Any

import structlog
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from router.backoff import Backoff
from router.discovery.base import Discovery, View
from router.discovery.slices import Slices
from services.errors import PeerLost

log = structlog.get_logger()

_SERVICE = "kubernetes.io/service-name"
_WATCH_S = 240
"""The API server ends a watch after this."""
_CONNECT_S = 5.0
_SILENT_S = 10.0
"""Beyond _WATCH_S: what a watch may still be silent, and a list altogether."""
_LASTED_S = 5.0
"""A watch that lasted so long did well."""


def api() -> client.DiscoveryV1Api:
    """The cluster that this runs in, else the one that KUBECONFIG or ~/.kube/config names.

    Raises:
        PeerLost: neither is there.
    """
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config()
        else:
            config.load_kube_config(os.environ.get("KUBECONFIG"))
    except ConfigException as error:
        raise PeerLost(f"no Kubernetes to ask: {error}") from error
    return client.DiscoveryV1Api()


class KubernetesDiscovery(Discovery):
    """The pods behind a Service."""

    def __init__(self, api: client.DiscoveryV1Api, service: str, namespace: str) -> None:
        """Asks nothing yet.

        Args:
            api: of the cluster.
            service: the Service's name.
            namespace: of the Service.
        """
        self._api = api
        self._service = service
        self._namespace = namespace
        self._slices = Slices()
        self._stopped = threading.Event()
        self._backoff = Backoff(0.1, 10.0)

    def look_again(self) -> None:
        """See Discovery: changes are told."""

    async def views(self) -> AsyncGenerator[View, None]:
        """See Discovery."""
        loop = asyncio.get_running_loop()
        views: asyncio.Queue[View] = asyncio.Queue()

        def show() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before the thread
                loop.call_soon_threadsafe(views.put_nowait, self._slices.view())

        thread = threading.Thread(
            target=self._follow, args=(show,), name=f"watch-{self._service}", daemon=True
        )
        thread.start()
        shown: View | None = None
        try:
            while True:
                view = await views.get()
                if view != shown:
                    shown = view
                    yield view
        finally:
            self._stopped.set()

    def _follow(self, show: Any) -> None:
        """Lists and watches until it is stopped."""
        while not self._stopped.is_set():
            began = time.monotonic()
            why = "it ended"
            try:
                self._list_and_watch(show)
            except ApiException as error:
                why = f"{error.status} {error.reason}"
            except (HTTPError, OSError, ValueError) as error:
                why = f"{type(error).__name__}: {error}"
            except Exception as error:  # the client's own, at what no API server should send
                log.exception("watch failed", service=self._service)
                why = type(error).__name__
            if time.monotonic() - began >= _LASTED_S:
                self._backoff.reset()
            if not self._stopped.is_set():
                log.info("watch over", service=self._service, why=why)
                self._stopped.wait(self._backoff.next_s())

    def _list_and_watch(self, show: Any) -> None:
        """The whole truth, then what changes, for as long as one connection lasts."""
        fields: dict[str, Any] = {"label_selector": f"{_SERVICE}={self._service}"}
        listed = self._api.list_namespaced_endpoint_slice(
            self._namespace, _request_timeout=(_CONNECT_S, _SILENT_S), **fields
        )
        plain = self._api.api_client.sanitize_for_serialization(listed)
        self._slices.replace(plain.get("items") or [])
        show()
        watching = watch.Watch()
        for event in watching.stream(
            self._api.list_namespaced_endpoint_slice,
            self._namespace,
            resource_version=plain["metadata"]["resourceVersion"],
            timeout_seconds=_WATCH_S,
            _request_timeout=(_CONNECT_S, _WATCH_S + _SILENT_S),
            **fields,
        ):
            if self._stopped.is_set():
                return
            if event is None:
                raise ValueError("a line of the watch is no event")
            self._slices.apply(event["type"], event["raw_object"])
            show()
