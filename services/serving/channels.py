"""Channels to services: plain, or with TLS whose files may change."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import grpc

from services.serving.options import CHANNEL_OPTIONS, Options
from services.serving.tls import Pem, TlsFiles, channel_credentials
from services.serving.watched import Watched


@dataclass(frozen=True)
class ClientTls:
    """How a client proves who it is, and whom it believes."""

    files: TlsFiles
    name: str = ""
    """The name that the server's certificate must have.  Empty: the host of its address."""

    @cached_property
    def watched(self) -> Watched[Pem]:
        """The files' content, for all channels: one that is new has what the others have.

        Raises:
            ValueError: none was open before, and a file can't be used.
        """
        return Watched(self.files.paths, self.files.load)

    @property
    def options(self) -> Options:
        """Of a channel."""
        override: Options = [("grpc.ssl_target_name_override", self.name)] if self.name else []
        return [*CHANNEL_OPTIONS, *override]


PLAIN = ClientTls(TlsFiles())
"""No TLS."""


def open_channel(
    address: str, tls: ClientTls = PLAIN, options: Options | None = None
) -> grpc.aio.Channel:
    """A channel to a service.

    Args:
        address: host:port.
        tls: how both ends prove who they are.
        options: beside those of all channels.

    Raises:
        ValueError: a file can't be used.
    """
    if not tls.files:
        return grpc.aio.insecure_channel(address, options=[*CHANNEL_OPTIONS, *(options or ())])
    return _RenewedChannel(address, tls, options or [])


def open_blocking_channel(address: str, tls: ClientTls = PLAIN) -> grpc.Channel:
    """The same for a client that lives for a few calls: its files are read once.

    Raises:
        ValueError: a file can't be used.
    """
    if not tls.files:
        return grpc.insecure_channel(address, CHANNEL_OPTIONS)
    return grpc.secure_channel(address, channel_credentials(tls.files.load()), tls.options)


class _Generation:
    """A channel, the files' content it was made with, and its calls under way."""

    def __init__(self, channel: grpc.aio.Channel, pem: Pem) -> None:
        self.channel = channel
        self.pem = pem
        self.calls = 0


class _RenewedChannel(grpc.aio.Channel):
    """Calls go through a new connection once the files have changed.

    Those that run stay on the old one, which is closed with the last of them.
    """

    def __init__(self, address: str, tls: ClientTls, options: Options) -> None:
        self._address = address
        self._tls = tls
        self._options = [*tls.options, *options]
        self._watched = tls.watched
        self._generations = [self._open(self._watched.current())]

    def _open(self, pem: Pem) -> _Generation:
        credentials = channel_credentials(pem)
        channel = grpc.aio.secure_channel(self._address, credentials, options=self._options)
        return _Generation(channel, pem)

    def _current(self) -> _Generation:
        pem, old = self._watched.current(), self._generations[-1]
        if pem is old.pem:
            return old
        self._generations.append(self._open(pem))
        self._retire(old)
        return self._generations[-1]

    def _retire(self, generation: _Generation) -> None:
        """Forgets a channel that is no longer the newest and has no calls; the last reference to
        it closes it."""
        if generation.calls == 0 and generation is not self._generations[-1]:
            self._generations.remove(generation)

    def _method(self, kind: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """What a stub calls: picks the channel at each call."""

        def start(*call_args: Any, **call_kwargs: Any) -> Any:
            generation = self._current()
            method = getattr(generation.channel, kind)(*args, **kwargs)
            call = method(*call_args, **call_kwargs)
            generation.calls += 1

            def done(_: Any) -> None:
                generation.calls -= 1
                self._retire(generation)

            call.add_done_callback(done)
            return call

        return start

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """As the base has it."""
        return self._method("unary_unary", *args, **kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """As the base has it."""
        return self._method("unary_stream", *args, **kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """As the base has it."""
        return self._method("stream_unary", *args, **kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """As the base has it."""
        return self._method("stream_stream", *args, **kwargs)

    async def close(self, grace: float | None = None) -> None:
        """Closes all that are open."""
        for generation in list(self._generations):
            await generation.channel.close(grace)

    async def __aenter__(self) -> "_RenewedChannel":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Of the newest."""
        return self._current().channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Of the newest."""
        await self._current().channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Of the newest."""
        await self._current().channel.channel_ready()
