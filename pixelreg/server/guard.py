"""Who may ask: not other people's web pages, and not under other people's names.

Any page may post a form to a server on the same machine, and may have its own name lead there (DNS
rebinding). Browsers say in Origin and Sec-Fetch-Site where a request comes from, and in Host what
name it went to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from pixelreg.server.refusal import Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

READING = frozenset({"GET", "HEAD"})
OWN = frozenset({"same-origin", "none"})  # what Sec-Fetch-Site says of our page, or of the user
HEADERS = {
    # What a page needs it says itself; answers that are no page may do nothing at all.
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Guard:
    """The names by which a server may be called, besides localhost and addresses of numbers.

    An address of numbers cannot be made to lead elsewhere; a name can.
    """

    hosts: tuple[str, ...] = ()

    def check(self, method: str, headers: dict[str, str]) -> None:
        """Refuse what another site's page sent; headers by their names in small letters."""
        host = headers.get("host", "")
        if not self._known(_name(host)):
            raise Refusal(
                421,
                f"this server is not called {host!r}",
                "use its address, or start it with --allow-host for the name that you use",
            )
        if method in READING:
            return
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if (site is not None and site not in OWN) or not self._own(origin, host):
            raise Refusal(
                403,
                "another site's page sent this, and only this server's own may",
                "ask from a program, or from the page at /",
            )

    def _known(self, name: str) -> bool:
        if name and (name == "localhost" or name in map(str.lower, self.hosts)):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

    def _own(self, origin: str | None, host: str) -> bool:
        """Whether a request comes from no page, from this server's, or from one of its names'."""
        if origin is None:
            return True
        try:
            asked = urlsplit(origin)
        except ValueError:
            return False
        same = asked.netloc.lower() == host.lower()
        return bool(asked.netloc) and (same or _name(asked.netloc) in map(str.lower, self.hosts))


def _name(host: str) -> str:
    """A host without its port; nothing for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        return "" if parts.path or parts.username or parts.query else parts.hostname or ""
    except ValueError:
        return ""


@dataclass(frozen=True)
class Guarded:
    """An application behind a guard, all of whose answers carry `HEADERS`.

    refuse : turns a refusal into an application that answers it.
    """

    app: App
    guard: Guard
    refuse: Callable[[Refusal], App]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, or the server's beginning and end."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                more = ((name.encode(), value.encode()) for name, value in HEADERS.items())
                message["headers"] = [*message["headers"], *(h for h in more if h[0] not in own)]
            await send(message)

        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]
        }
        try:
            self.guard.check(scope["method"], headers)
        except Refusal as refusal:
            await self.refuse(refusal)(scope, receive, sent)
        else:
            await self.app(scope, receive, sent)
