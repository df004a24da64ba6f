"""What reads a stranger's file: each returns, or raises a `PixelregError` of one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pixelreg.errors import PixelregError


def picture(path: Path) -> None:
    """As `pixelreg apply` does: all pictures of it, then the first, written again."""
    from pixelreg.pictures.image import encode, read_file
    from pixelreg.pictures.kinds import head_of, media_of
    from pixelreg.pictures.moving import encode_moving, read_moving

    media_of(head_of(path))
    moving = read_moving(path.read_bytes(), str(path))
    if moving is not None:
        encode_moving(moving, "TIFF" if not moving.durations else "WEBP")
    read = read_file(path)
    encode(read.with_pixels(255 - read.pixels), "PNG")


def landmarks(path: Path) -> None:
    """A face from its points."""
    from pixelreg.faces.landmarks import read_landmarks

    read_landmarks(path)


def table(path: Path) -> None:
    """A table of photos, and pairs of them."""
    from pixelreg.data.layouts import scan
    from pixelreg.data.pairs import pair

    for person in "ABCDE":
        for expression in ("neutral", "happy"):
            path.with_name(f"{person}_{expression}.png").touch()
    pair(scan(path), "neutral", "happy")


def card(path: Path) -> None:
    """What an ONNX file says of itself."""
    from deep_onnx.card import card_from_json

    card_from_json(path.read_bytes().decode("utf-8", "replace"), str(path)).to_json()


def description(path: Path) -> None:
    """What ``--meta`` says of an ONNX file of another origin."""
    from deep_onnx.card import card_of
    from deep_onnx.file import Contents, Value

    value = Value("image", "float32", (1, 3, 16, 16))
    card_of(Contents("x", b"", {}, {}, (value,), (value,), 0), path)


def model(path: Path) -> None:
    """A closed-form model, and a picture changed by it."""
    import numpy as np

    from pixelreg.api import load

    translator = load(path)
    translator.describe()
    for target in translator.changes[:1]:
        with np.errstate(all="ignore"):
            translator.run(target, np.zeros((1, translator.size, translator.size, 3), np.uint8))


def sums(path: Path) -> None:
    """Sums of pairs."""
    from pixelreg.fitting.sumsfile import load

    load(path)


def onnx(path: Path) -> None:
    """An ONNX file, and a run of it."""
    from pixelreg.api import load

    load(path, provider="cpu", threads=1).describe()


def checkpoint(path: Path) -> None:
    """Other people's weights."""
    from deep_onnx.convert import Conversion, find_generator

    find_generator("stargan", path, Conversion(targets=("a", "b")))


def mesh(path: Path) -> None:
    """A mesh."""
    from pixelreg.shapes.meshes import read_mesh

    read_mesh(path)


def video(path: Path) -> None:
    """All frames of a film."""
    from pixelreg.video.container import opened

    with opened(path) as source:
        for _ in source.items():
            pass


def fit(path: Path) -> None:
    """The checkpoint of a fit that is gone on with."""
    from benchmarks.hostile.corpus import MARK, pairs_to_fit
    from pixelreg.fitting.checkpoint import Checkpoint

    Checkpoint(path, MARK, resume=True).load(pairs_to_fit())


def training(path: Path) -> None:
    """The checkpoint of a training that is gone on with."""
    from benchmarks.hostile.corpus import MARK, small_training
    from deep_onnx.training import checkpoint
    from deep_onnx.training.losses_file import History

    checkpoint.peek(path)
    found = checkpoint.load(path, small_training(), MARK)
    try:
        History(path.with_name("losses.csv")).restore(found.names, found.losses)
    except checkpoint.DAMAGE as error:  # as the loop does
        raise PixelregError(f"{path} is damaged") from error


def blendshapes(path: Path) -> None:
    """Components of expressions."""
    from pixelreg.shapes.file import load

    load(path)


def answers(path: Path) -> None:
    """A study's key and answers, counted."""
    from pixelreg.study.tally import read_answers, read_key, tally

    key = read_key(path)
    tally(read_answers(path, key), key)


def units(path: Path) -> None:
    """What OpenFace measured."""
    from deep_onnx.architectures.action_units import read

    read(path)


@cache
def _client(process: int) -> Any:
    import numpy as np
    from starlette.testclient import TestClient

    from pixelreg.models.model import Model
    from pixelreg.models.plans import AffinePlan
    from pixelreg.server.app import Service
    from pixelreg.server.guard import Guard
    from pixelreg.server.limits import Limits
    from pixelreg.server.menu import Menu
    from pixelreg.translator import PlanTranslator

    ones = np.ones((16, 16, 3), np.float32)
    model = PlanTranslator(Model({"happy": AffinePlan(ones * 0.5, ones * 0.1)}))
    service = Service(Menu({"grey": model}), Limits(), Guard(("127.0.0.1", "")))
    return TestClient(service.application(), base_url="http://127.0.0.1:8000")


def request(path: Path) -> None:
    """A form that is sent to a server; what it answers is a picture, or a refusal in one line."""
    head = {"content-type": "multipart/form-data; boundary=x"}
    answer = _client(os.getpid()).post("/api/apply", content=path.read_bytes(), headers=head)
    if answer.status_code == 200:
        return
    assert 400 <= answer.status_code < 500, answer.text
    raise PixelregError(answer.json()["error"])


READERS: dict[str, Callable[[Path], None]] = {
    "pictures": picture,
    "landmarks": landmarks,
    "tables": table,
    "cards": card,
    "descriptions": description,
    "models": model,
    "sums": sums,
    "onnx": onnx,
    "checkpoints": checkpoint,
    "meshes": mesh,
    "videos": video,
    "fits": fit,
    "trainings": training,
    "blendshapes": blendshapes,
    "answers": answers,
    "units": units,
    "requests": request,
}
