"""What may be asked and what is answered, as OpenAPI 3.1: true for the models that are offered."""

from __future__ import annotations

from typing import Any

from pixelreg import __version__
from pixelreg.server.limits import MEDIA, Limits
from pixelreg.server.menu import Menu
from pixelreg.translator import MAX_STRENGTH

JSON = "application/json"
TEXT = {"type": "string"}
SLIDE = "^[^=]+=[^=]+$"
# What a request to /api/apply may say, in its address or as fields of its form.
PARAMETERS = {
    "expression": "What to make of the face. May be left out where a model makes one thing only.",
    "strength": "How much of it: 0 changes nothing, 1 is as learnt, and more exaggerates.",
    "slides": (
        "A mixture instead of an expression, for models with sliders: NAME=VALUE, once for every "
        "slider that is not at rest."
    ),
    "model": "Which model; the first of /api/models where none is named.",
}
REPEATED = frozenset({"slides"})
REFUSALS = {
    400: "The form is cut short or broken.",
    403: "A page of another site sent this.",
    408: "The request took too long to arrive.",
    413: "The picture has too many bytes, pixels or frames, or the form too many parts.",
    415: "The body is no picture of a kind that is taken, or is packed.",
    422: "An unknown name or a wrong number; a damaged picture; no face in it.",
    500: "Something went wrong in the server.",
    503: "No place is free; Retry-After says when to ask again.",
    504: "The picture took too long.",
}
ELSEWHERE = {421: "The server is not known by the name that was asked for."}


def described(menu: Menu, limits: Limits) -> dict[str, Any]:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pixelreg",
            "version": __version__,
            "summary": "Changes the expression of faces in photos; keeps nothing.",
        },
        "paths": {
            "/": {"get": _read("page", "A page to try it on.", "text/html", TEXT)},
            "/form": {"get": _read("form", "A plain one, for all models.", "text/html", TEXT)},
            "/api/models": {"get": _read("models", "The models.", JSON, _reference("Models"))},
            "/api/apply": {"post": _apply(menu, limits)},
            "/openapi.json": {"get": _read("openapi", "This.", JSON, {"type": "object"})},
            "/healthz": {"get": _read("health", "Is it there?", JSON, _reference("Health"))},
        },
        "components": {"schemas": _schemas()},
    }


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(text: str, media: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {media: {"schema": schema}}}


def _refusals(said: dict[int, str]) -> dict[str, Any]:
    answers = {str(code): _answer(text, JSON, _reference("Refusal")) for code, text in said.items()}
    if "503" in answers:
        seconds = {"description": "Seconds.", "required": True, "schema": {"type": "integer"}}
        answers["503"]["headers"] = {"Retry-After": seconds}
    return answers


def _read(name: str, text: str, media: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": text,
        "responses": {"200": _answer(text, media, schema), **_refusals(ELSEWHERE)},
    }


def _apply(menu: Menu, limits: Limits) -> dict[str, Any]:
    schemas = _words(menu)
    picture = {"description": "A picture's file, as it is."}
    form = {
        "type": "object",
        "required": ["image"],
        "properties": {"image": {**picture, "contentMediaType": "image/*"}, **schemas},
        "additionalProperties": False,
    }
    headers = {
        "Pixelreg-Faces": ("How many faces were changed.", {"type": "integer"}),
        "Pixelreg-Notes": ("JSON, a list of what has to be said.", {"type": "string"}),
    }
    made = {
        "description": "The picture changed, of the kind that was sent.",
        "headers": {
            name: {"description": text, "required": True, "schema": schema}
            for name, (text, schema) in headers.items()
        },
        "content": {media: {"schema": picture} for media in MEDIA.values()},
    }
    return {
        "operationId": "apply",
        "summary": "Change the expression of the faces in one picture.",
        "description": (
            f"At most {limits.bytes} bytes, {limits.pixels} pixels (of all frames together) and "
            f"{limits.seconds:g} seconds."
        ),
        "parameters": [
            {"name": name, "in": "query", "description": text, "schema": schemas[name]}
            for name, text in PARAMETERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                "image/*": {"schema": picture},
                "application/octet-stream": {"schema": picture},
            },
        },
        "responses": {"200": made, **_refusals(REFUSALS | ELSEWHERE)},
    }


def _words(menu: Menu) -> dict[str, Any]:
    """The schemas of `PARAMETERS`. Synonyms of expressions are taken too, so they are examples."""
    return {
        "expression": {"type": "string", "examples": list(menu.expressions)},
        "strength": {
            "type": "number",
            "minimum": -MAX_STRENGTH,
            "maximum": MAX_STRENGTH,
            "default": 1,
        },
        "slides": {"type": "array", "items": {**TEXT, "pattern": SLIDE, "examples": ["AU12=0.8"]}},
        "model": {"type": "string", "enum": list(menu.models), "default": next(iter(menu.models))},
    }


def _schemas() -> dict[str, Any]:
    text, whole = TEXT, {"type": "integer"}
    texts, number = {"type": "array", "items": text}, {"type": "number"}
    slider = {"name": text, "lowest": number, "highest": number}
    model = {
        **dict.fromkeys(("name", "model", "source", "licence", "attribution"), text),
        **{"training_set": text, "targets": texts, "size": whole, "parameters": whole},
        "sliders": {"type": "array", "items": _object(slider, *slider)},
    }
    limits = {"bytes": whole, "pixels": whole, "seconds": number}
    return {
        "Refusal": _object({"error": text, "remedy": text, "choices": texts}, "error", "remedy"),
        "Models": _object(
            {
                "models": {
                    "type": "array",
                    "items": _object(model, "name", "targets", "sliders", "size"),
                },
                "limits": _object(limits, *limits),
            },
            *("models", "limits"),
        ),
        "Health": _object({"status": {"const": "ok"}, "inside": whole}, "status", "inside"),
    }


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
