"""ONNX models as the onnx package holds them: read, cleaned, checked, with their card."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deep_onnx import proto
from deep_onnx.card import KEY, Card
from deep_onnx.reading import card_of, check_graph
from deep_onnx.session import first_line, read_file
from pixelreg.errors import MissingExtraError, ModelFileError, PixelregError

if TYPE_CHECKING:
    from onnx import ModelProto

TRACES = ("doc_string", "metadata_props")  # where exporters leave stack traces and local paths


def onnx_package(purpose: str) -> Any:
    """The onnx package.

    Parameters
    ----------
    purpose : what it is needed for, for the message.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "train", purpose) from error
    return onnx


def read(path: Path, purpose: str) -> tuple[ModelProto, Card]:
    """A model that describes itself, and its card."""
    onnx = onnx_package(purpose)
    content = read_file(path)
    card = card_of(proto.read(content, str(path)), str(path))
    try:
        return onnx.load_model_from_string(content), card
    except Exception as error:  # protobuf's own DecodeError, by another name in each version
        raise ModelFileError(f"{path} is damaged: {first_line(error)}") from error


def finish(model: ModelProto, card: Card) -> bytes:
    """The file's bytes: nothing of the machine that made it, the card in its metadata, checked."""
    import onnx

    strip(model)
    model.producer_name, model.producer_version = "pixelreg", ""
    onnx.helper.set_model_props(model, {KEY: card.to_json()})
    try:
        content: bytes = model.SerializeToString()
        onnx.checker.check_model(content)
    except Exception as error:  # the checker and protobuf each have several of their own
        raise PixelregError(f"the graph is not valid ONNX: {first_line(error)}") from error
    check_graph(card, proto.read(content, "the graph"), "the graph")
    return content


def strip(message: Any) -> None:
    """Take doc strings and metadata out of a protobuf message and of all that it holds."""
    for descriptor, value in message.ListFields():
        if descriptor.name in TRACES:
            message.ClearField(descriptor.name)
        elif descriptor.message_type is not None:
            repeated = not hasattr(value, "ListFields")
            for inner in value if repeated else (value,):
                strip(inner)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep to itself what exporters and quantisers print, warn of and log."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
