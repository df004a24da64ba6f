"""A request's body, counted as it arrives and kept in memory only; and the parts of a form."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from pixelreg.server.limits import Deadline, Limits
from pixelreg.server.places import Gone
from pixelreg.server.refusal import Refusal

FORM = "multipart/form-data"
PICTURE = "image"  # the name of the part that holds the picture
# Of bodies that are a picture; the third is what curl says where it is told nothing.
RAW = ("", "application/octet-stream", "application/x-www-form-urlencoded")
MOST_PARTS = 16
PATIENCE_S, PAUSE_S, UNREAD_BYTES = 10.0, 2.0, 64 * 2**20  # for what is thrown away


@dataclass
class Part:
    """One part of a form: its headers, small letters, and what it holds."""

    headers: dict[str, str] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)

    @property
    def options(self) -> Mapping[bytes, bytes]:
        """What is said of it: its name, and its file's."""
        return parse_options_header(self.headers.get("content-disposition"))[1]


@dataclass(frozen=True)
class Sent:
    """What a request brought: a picture's bytes, and the fields of its form as they came."""

    picture: bytes
    fields: Sequence[tuple[str, str]] = ()


def check_head(request: Request, limits: Limits) -> str:
    """The kind of a request's body; by its headers is refused what need not be read."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > limits.bytes:
        raise limits.too_many_bytes()
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refusal(415, "a packed body is not taken", "send it without Content-Encoding")
    media = _media(request)[0]
    if media not in (FORM, *RAW) and not media.startswith("image/"):
        raise Refusal(
            415, f"{media!r} is not taken", f"send the picture's bytes as image/..., or a {FORM}"
        )
    return media


async def received(request: Request, limits: Limits, deadline: Deadline) -> Sent:
    """A request's body; what `check_head` refuses is not asked for."""
    try:
        body = await asyncio.wait_for(_counted(request, limits), deadline.remaining)
    except asyncio.TimeoutError:
        raise Refusal(408, "the request took too long to arrive", "send a smaller one") from None
    except ClientDisconnect:
        raise Gone from None
    media, options = _media(request)
    return _sorted(body, options.get(b"boundary", b"")) if media == FORM else Sent(body)


async def thrown_away(request: Request) -> None:
    """Read on while more comes, or who is still sending is cut off and never reads the answer."""
    if "expect" in request.headers:
        return  # who asks before sending has sent nothing
    deadline, size, stream = Deadline.after(PATIENCE_S), 0, request.stream()
    try:
        while deadline.remaining and size < UNREAD_BYTES:
            size += len(await asyncio.wait_for(anext(stream), PAUSE_S))
    except (asyncio.TimeoutError, StopAsyncIteration, ClientDisconnect, RuntimeError):
        return  # paused, at its end, gone, or read before


async def _counted(request: Request, limits: Limits) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limits.bytes:
            raise limits.too_many_bytes()
        body += chunk
    return bytes(body)


def _media(request: Request) -> tuple[str, Mapping[bytes, bytes]]:
    kind, options = parse_options_header(request.headers.get("content-type"))
    return kind.decode("latin-1"), options


def _sorted(body: bytes, boundary: bytes) -> Sent:
    """A form's picture and its other fields."""
    pictures, fields = [], []
    for part in _parts(body, boundary):
        name = part.options.get(b"name", b"").decode(errors="replace")
        if name == PICTURE:
            pictures.append(bytes(part.content))
        else:
            fields.append((name, part.content.decode(errors="replace")))
    if len(pictures) != 1:
        raise Refusal(
            422,
            f"the form has {len(pictures)} parts called {PICTURE!r}",
            f"send one: curl -F {PICTURE}=@photo.jpg",
        )
    return Sent(pictures[0], fields)


def _parts(body: bytes, boundary: bytes) -> list[Part]:
    parts: list[Part] = []
    name, ended = bytearray(), []

    def begin() -> None:
        if len(parts) == MOST_PARTS:
            raise Refusal(413, f"the form has more than {MOST_PARTS} parts", "send fewer")
        parts.append(Part())

    def header(data: bytes, start: int, end: int) -> None:
        key = name.decode("latin-1").lower()
        parts[-1].headers[key] = parts[-1].headers.get(key, "") + data[start:end].decode("latin-1")

    callbacks: Any = {
        "on_part_begin": begin,
        "on_header_begin": name.clear,
        "on_header_field": lambda data, start, end: name.extend(data[start:end]),
        "on_header_value": header,
        "on_part_data": lambda data, start, end: parts[-1].content.extend(data[start:end]),
        "on_end": lambda: ended.append(True),
    }
    try:
        if boundary:
            parser = MultipartParser(boundary, callbacks)
            parser.write(body)
    except FormParserError as error:
        raise Refusal(400, f"the form is broken: {error}", "send it whole") from error
    if not ended:
        raise Refusal(400, "the form is cut short, or has no boundary", "send it whole")
    return parts
