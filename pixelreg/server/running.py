"""Running the application under uvicorn: quiet, and ended cleanly by Ctrl-C and SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pixelreg.errors import PixelregError
from pixelreg.server.app import Service

HEAD_S = 10.0  # within which a request's headers must be there
GRACE_S = 5  # for those who are inside when the server is to end


class Hurried(H11Protocol):
    """HTTP/1.1, but who opens a connection and says nothing more does not keep it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection is there: see that a request follows."""
        super().connection_made(transport)
        self._expect()

    def on_response_complete(self) -> None:
        """A request is answered: see that another one follows, or none."""
        super().on_response_complete()
        self._expect()

    def _expect(self) -> None:
        self.loop.call_later(HEAD_S, self._give_up, self.cycle)

    def _give_up(self, seen: Any) -> None:
        if self.cycle is seen and not self.transport.is_closing():
            self.transport.close()


def serve(service: Service, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Answer until the process is told to end; ``ready`` is told the address."""
    listening = _listening(host, port)
    config = uvicorn.Config(
        service.application(),
        http=Hurried,
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,  # who asked for what is nobody's business
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = uvicorn.Server(config)
    ready(_address(listening))
    # uvicorn sends itself the signal that ended it once more, when all is done: that is to be
    # taken as the end that it is, and not as a failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *told: None)
    try:
        server.run(sockets=[listening])
    finally:
        service.places.close()
        listening.close()


def _listening(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind(address)
            made.listen(256)
        except OSError:
            made.close()
            raise
    except OSError as error:
        raise PixelregError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; "
            "choose another with --host or --port"
        ) from error
    return made


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
