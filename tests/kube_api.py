"""A server that speaks Kubernetes' list and watch protocol for EndpointSlices, over HTTP.

It keeps what an API server keeps: objects, a resource version that grows, the events since a
compaction.  A watch begins after the version that it names; one from before the compaction is
answered with 410 Gone, as an ERROR event.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

_PATH = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"


class KubeApi:
    """The server; its methods change the cluster."""

    def __init__(self, namespace: str = "default") -> None:
        self.lists = self.watches = 0
        """Requests so far."""
        self.watching = 0
        """Watches that are open."""
        self.path = _PATH.format(namespace)
        self.changed = threading.Condition()
        self.objects: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[int, dict[str, Any]]] = []
        self.version = 100
        self.compacted = 0
        self.epoch = 0
        """Watches of an earlier one are over."""
        self.stopped = False
        self.said = b""
        """A line that the next watch to look sends as it is."""
        self._port = 0
        self._server: ThreadingHTTPServer
        self._thread: threading.Thread

    def __enter__(self) -> "KubeApi":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listens, on the port of before if there was one."""

        self.stopped = False

        class Bound(_Handler):
            api = self

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Bound)
        self._server.daemon_threads = False
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """Goes away, and all watches with it."""
        self.stopped = True
        self.cut()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def kubeconfig(self, folder: Path) -> Path:
        """Writes a file that leads here."""
        path = folder / "kubeconfig"
        server = f"http://127.0.0.1:{self._port}"
        cluster = {"name": "test", "cluster": {"server": server}}
        context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [cluster],
                    "contexts": [context],
                    "users": [{"name": "test", "user": {}}],
                    "current-context": "test",
                }
            )
        )
        return path

    def put(self, name: str, service: str, *endpoints: dict[str, Any], port: int = 50051) -> None:
        """Adds a slice, or changes it."""
        with self.changed:
            kind = "MODIFIED" if name in self.objects else "ADDED"
            self.objects[name] = {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": name,
                    "labels": {"kubernetes.io/service-name": service},
                },
                "addressType": "IPv4",
                "ports": [
                    {"name": "metrics", "port": 9090, "protocol": "TCP"},
                    {"name": "grpc", "port": port, "protocol": "TCP"},
                ],
                "endpoints": list(endpoints),
            }
            self._record(kind, name)

    def delete(self, name: str) -> None:
        """Removes a slice."""
        with self.changed:
            self._record("DELETED", name)
            del self.objects[name]

    def repeat(self) -> None:
        """Sends every event that is kept once more, the newest last, as after a reconnection."""
        with self.changed:
            for _, event in list(self.events):
                self.version += 1
                self.events.append((self.version, event))
            self.changed.notify_all()

    def compact(self) -> None:
        """Forgets all events: what was listed before has expired."""
        with self.changed:
            self.version += 1
            self.compacted = self.version
            self.events.clear()
            self.epoch += 1
            self.changed.notify_all()

    def cut(self) -> None:
        """Ends all watches in the middle."""
        with self.changed:
            self.epoch += 1
            self.changed.notify_all()

    def _record(self, kind: str, name: str) -> None:
        self.version += 1
        one = self.objects[name]
        one["metadata"]["resourceVersion"] = str(self.version)
        event = {"type": kind, "object": json.loads(json.dumps(one))}
        self.events.append((self.version, event))
        self.changed.notify_all()

    def say(self, line: bytes) -> None:
        """Sends a line to every watch."""
        with self.changed:
            self.said = line
            self.changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    api: KubeApi
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """Lists or watches."""
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path != self.api.path:
            self._json({"kind": "Status", "code": 404, "reason": "NotFound"}, 404)
            return
        service = query.get("labelSelector", "").removeprefix("kubernetes.io/service-name=")
        if query.get("watch") in ("true", "True", "1"):
            self._watch(service, int(query["resourceVersion"]), float(query["timeoutSeconds"]))
        else:
            self._list(service)

    def _list(self, service: str) -> None:
        with self.api.changed:
            self.api.lists += 1
            items = [one for one in self.api.objects.values() if _service(one) == service]
            body = {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSliceList",
                "metadata": {"resourceVersion": str(self.api.version)},
                "items": json.loads(json.dumps(items)),
            }
        self._json(body)

    def _json(self, body: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def _watch(self, service: str, since: int, timeout_s: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        api, ends = self.api, time.monotonic() + timeout_s
        with api.changed:
            api.watches += 1
            epoch = api.epoch
            if since < api.compacted:
                gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
                self._chunk({"type": "ERROR", "object": gone})
                self.wfile.write(b"0\r\n\r\n")
                return
            api.watching += 1
            try:
                while epoch == api.epoch and not api.stopped and time.monotonic() < ends:
                    for version, event in api.events:
                        if version > since and _service(event["object"]) == service:
                            self._chunk(event)
                    since = api.version
                    if api.said:
                        self._line(api.said)
                        api.said = b""
                    api.changed.wait(0.5)
            finally:
                api.watching -= 1

    def _chunk(self, event: dict[str, Any]) -> None:
        self._line(json.dumps(event).encode() + b"\n")

    def _line(self, line: bytes) -> None:
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()


def _service(one: dict[str, Any]) -> str:
    return str(one["metadata"]["labels"]["kubernetes.io/service-name"])


def endpoint(
    host: str,
    *,
    ready: bool | None = True,
    serving: bool | None = None,
    terminating: bool | None = None,
    zone: str | None = None,
) -> dict[str, Any]:
    """An entry of a slice, as the API has it: what is None is left out."""
    said = {"ready": ready, "serving": serving, "terminating": terminating}
    entry: dict[str, Any] = {
        "addresses": [host],
        "conditions": {key: value for key, value in said.items() if value is not None},
    }
    return entry | ({"zone": zone} if zone else {})
