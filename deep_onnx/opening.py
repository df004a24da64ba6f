"""Opening ONNX files: read once, checked, and only then given to onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deep_onnx import proto
from deep_onnx.card import Card
from deep_onnx.proto import Contents
from deep_onnx.reading import card_of, check_graph
from deep_onnx.session import Say, Session, read_file


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A file that was found in order.

    Attributes
    ----------
    name : for messages.
    card : what it says of itself; contents : what it holds.
    content : its bytes.
    """

    name: str
    card: Card
    contents: Contents
    content: bytes

    def session(
        self, provider: str = "auto", threads: int | None = None, say: Say | None = None
    ) -> Session:
        """What runs it; see `deep_onnx.session.Session`."""
        return Session(self.content, provider, threads, say, self.name, self.contents)


def open_file(path: Path, meta: Path | None = None) -> OnnxFile:
    """Read a file and check it.

    Parameters
    ----------
    path : the file.
    meta : a JSON file that describes a model of another origin; see `deep_onnx.reading.card_of`.
    """
    content, name = read_file(path), str(path)
    contents = proto.read(content, name)
    card = card_of(contents, name, meta)
    check_graph(card, contents, name)
    return OnnxFile(name, card, contents, content)
