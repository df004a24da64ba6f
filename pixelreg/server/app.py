"""The application: what is answered at which address."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from pixelreg.server.description import PARAMETERS, REPEATED, described
from pixelreg.server.guard import Guard, Guarded
from pixelreg.server.limits import Deadline, Limits
from pixelreg.server.menu import Answer, Menu, Words
from pixelreg.server.page import Page
from pixelreg.server.places import Gone, Place, Places
from pixelreg.server.refusal import Refusal, refusal_of
from pixelreg.server.upload import FORM, check_head, received, thrown_away

LOG = logging.getLogger("pixelreg.server")


@dataclass(frozen=True)
class Service:
    """What answers: a method an address."""

    menu: Menu
    limits: Limits = field(default_factory=Limits)
    guard: Guard = field(default_factory=Guard)
    page: Page | None = None  # at /; None for the exported page of one of the models

    @cached_property
    def places(self) -> Places:
        """Who is inside."""
        return Places(self.limits)

    def application(self) -> Guarded:
        """The service as an ASGI application."""
        page = self.page or Page.of(self.menu.models)
        routes = [
            Route("/", _shown(page), methods=["GET"]),
            Route("/form", _shown(Page.form()), methods=["GET"]),
            Route("/api/models", self.models, methods=["GET"]),
            Route("/api/apply", self.apply, methods=["POST"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
            Route("/healthz", self.health, methods=["GET"]),
        ]
        app: Any = Starlette(routes=routes, exception_handlers={HTTPException: _no_such})
        app.router.redirect_slashes = False
        return Guarded(app, self.guard, refused)

    async def models(self, request: Request) -> Response:
        """The models that may be asked for, and how much of one."""
        return JSONResponse({"models": self.menu.facts(), "limits": self.limits.facts()})

    async def openapi(self, request: Request) -> Response:
        """What may be asked, for machines."""
        return JSONResponse(described(self.menu, self.limits))

    async def health(self, request: Request) -> Response:
        """That the server is there, and how busy it is."""
        return JSONResponse({"status": "ok", "inside": self.places.taken})

    async def apply(self, request: Request) -> Response:
        """One picture changed."""
        try:
            place = self.places.take()
            try:
                return _answered(await self._made(request, place))
            finally:
                place.leave()
        except Gone:
            return Response(status_code=499)  # which nobody reads
        except Exception as error:
            refusal = refusal_of(error)
            if refusal.status == 500:
                LOG.error("a request failed", exc_info=error)
            await thrown_away(request)
            answer = refused(refusal)
            answer.headers["connection"] = "close"  # as more of the request may be on its way
            return answer

    async def _made(self, request: Request, place: Place) -> Answer:
        deadline = Deadline.after(self.limits.seconds)
        asked = words_of(request.query_params.multi_items())
        if check_head(request, self.limits) != FORM:
            self.menu.order(asked)  # what is wrong must not wait for the picture
        sent = await received(request, self.limits, deadline)
        order = self.menu.order({**words_of(sent.fields), **asked})

        async def gone() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        return await place.run(
            lambda until: order.answer(sent.picture, self.limits, until), deadline, gone
        )


def refused(refusal: Refusal) -> JSONResponse:
    """A refusal as an answer."""
    return JSONResponse(refusal.facts(), refusal.status, dict(refusal.headers))


def _shown(page: Page) -> Callable[[Request], Awaitable[Response]]:
    content, headers = page.html.encode(), {"content-security-policy": page.policy}

    async def show(request: Request) -> Response:
        return HTMLResponse(content, headers=headers)

    return show


async def _no_such(request: Request, error: Exception) -> Response:
    """What is answered where there is nothing, or nothing of that kind."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(getattr(error, "headers", None) or {})
    wrong = "no such address" if status == 404 else f"{request.method} is not taken here"
    return refused(Refusal(status, wrong, "see /openapi.json for what there is", headers=headers))


def _answered(answer: Answer) -> Response:
    # A header holds ASCII, without what JSON leaves of control characters.
    notes = json.dumps(answer.notes).replace("\x7f", "\\u007f")
    headers = {"Pixelreg-Faces": str(answer.faces), "Pixelreg-Notes": notes}
    return Response(answer.content, media_type=answer.media, headers=headers)


def words_of(pairs: Iterable[tuple[str, str]]) -> Words:
    """The words of an address or a form, none unknown, and only those of `REPEATED` twice."""
    words: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            raise Refusal(
                422,
                f"unknown parameter {name[:40]!r}",
                f"say some of: {', '.join(PARAMETERS)}",
                tuple(PARAMETERS),
            )
        if name in words and name not in REPEATED:
            raise Refusal(422, f"{name} is given twice", "say it once")
        words.setdefault(name, []).append(value)
    return words
