"""One contract for every stored format: old files load as they were, and nothing damaged gets in.

The files in ``golden/formats`` were written before pixelreg's modules were moved (but for
``training.safetensors``, the second version of its format); what they hold is counted out by
`fill` and `crops`. They are never to be written again.
"""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deep_onnx.file import open_file
from pixelreg.backends import get_backend
from pixelreg.data.pairs import Pair
from pixelreg.data.photos import Photo
from pixelreg.errors import ModelFileError
from pixelreg.faces.cascade import load_weights
from pixelreg.fitting import sumsfile
from pixelreg.fitting.checkpoint import Checkpoint
from pixelreg.fitting.tally import Part, Tally
from pixelreg.models import file as modelfile
from pixelreg.models import store
from pixelreg.models.sums import LevelSums, PixelSums, Sums
from pixelreg.shapes import file as shapefile

GOLDEN = Path(__file__).with_name("golden") / "formats"
DETECTOR = Path(modelfile.__file__).parents[1] / "faces" / "weights" / "detector.safetensors"
Arrays = Mapping[str, np.ndarray]


def fill(*shape: int) -> np.ndarray:
    """Sixteenths from -1/2 to 1/2: exact in float16 as well."""
    return ((np.arange(np.prod(shape)) * 7 % 17 - 8) / 16).astype(np.float32).reshape(shape)


def crops() -> list[np.ndarray]:
    """Three pairs of crops, 2 x 2 x 3."""
    return [(np.arange(36) * step % 256).astype(np.uint8).reshape(3, 12) for step in (37, 101)]


# ---------------------------------------------------------------- what each file holds


def read_model(path: Path) -> Arrays:
    found = modelfile.load(path)
    return {f"{t}/{n}": a for t, plan in found.plans.items() for n, a in plan.tensors().items()}


def read_sums(path: Path) -> Arrays:
    return sumsfile.load(path).sums["happy"].arrays()


def read_partial(keep: type[Sums]) -> Callable[[Path], Arrays]:
    photo = Photo("one", "happy", "x.png")

    def read(path: Path) -> Arrays:
        tally = Tally([Part("happy", False, (Pair("one", "", photo, photo),) * 3)], keep, 2)
        Checkpoint(path, "0123abcd", resume=True).load(tally)
        assert (tally.done, tally.problems, tally.of(0).count) == ([3], [], 3)
        return tally.of(0).sums.arrays()

    return read


def read_shapes(path: Path) -> Arrays:
    shapes = shapefile.load(path)
    return {name: getattr(shapes, name) for name in shapefile.TENSORS}


def read_training(path: Path) -> Arrays:
    import torch

    from deep_onnx.training import checkpoint

    net, kept = torch.nn.Linear(3, 2), {}
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)
    algorithm: Any = SimpleNamespace(
        networks={"net": net}, optimisers={"net": optimiser}, load_state=kept.update
    )
    algorithm.device = torch.device("cpu")
    progress = checkpoint.load(path, algorithm, "0123abcd")
    far = np.array([*checkpoint.peek(path), progress.best or 0.0])
    moment = optimiser.state_dict()["state"][1]["exp_avg"]
    arrays = {**net.state_dict(), **kept, "moment": moment}
    return {name: value.numpy() for name, value in arrays.items()} | {**progress.losses, "far": far}


def read_network(path: Path) -> Arrays:
    file = open_file(path)
    return {"bytes": np.frombuffer(file.contents.data, np.uint8)}


def read_detector(path: Path) -> Arrays:
    return vars(load_weights(path))


SHAPE = (8, 8, 3)
AFFINE = {"weight": fill(*SHAPE), "bias": fill(*SHAPE)}
SPARSE = {
    "offsets": np.array([[0, 0], [-1, 1]], np.int8),
    "weights": fill(2, *SHAPE),
    "bias": fill(*SHAPE),
}
BOTH = {
    **{f"happy/{name}": array for name, array in AFFINE.items()},
    **{f"sad/{name}": array for name, array in SPARSE.items()},
}
LARGEST = np.where(np.arange(30) % 15 == 3, 1, fill(30)).astype(np.float32)


def happy(**tensors: np.ndarray) -> Arrays:
    return {f"happy/{name}": array for name, array in tensors.items()}


def summed(name: str) -> Arrays:
    return getattr(get_backend("numpy"), name)(*crops()).arrays()


# file -> what reads it, and what it must find
FILES: dict[str, tuple[Callable[[Path], Arrays], Arrays]] = {
    "affine.safetensors": (read_model, happy(**AFFINE)),
    "kernel.safetensors": (
        read_model,
        happy(table=fill(256, 2), coefficients=fill(*SHAPE, 2)),
    ),
    "sparse.safetensors": (read_model, happy(**SPARSE)),
    "factored.safetensors": (
        read_model,
        happy(basis=fill(2, 192), coefficients=fill(2, *SHAPE)),
    ),
    "flow.safetensors": (
        read_model,
        happy(**AFFINE, displacement=fill(8, 8, 2), blur=np.array([1.5], np.float32)),
    ),
    "float16.safetensors": (read_model, BOTH),
    "int8.safetensors": (read_model, BOTH),
    "rr.sums": (read_sums, summed("pixel_sums")),
    "kr.sums": (read_sums, summed("level_sums")),
    "rr.partial": (read_partial(PixelSums), summed("pixel_sums")),
    "kr.partial": (read_partial(LevelSums), summed("level_sums")),
    "shapes.safetensors": (
        read_shapes,
        {
            "mean": fill(5, 3),
            "components": LARGEST.reshape(2, 5, 3),
            "ranges": np.array([0.5, 2.0], np.float32),
            "faces": np.array([[0, 1, 2], [2, 3, 4]], np.int32),
        },
    ),
    "training.safetensors": (
        read_training,
        {
            **{"weight": fill(2, 3), "bias": fill(2), "n": np.ones(2, np.float32)},
            **{"moment": np.full(2, 0.1, np.float32), "train": np.arange(6.0).reshape(2, 3)},
            "far": np.array([7, 1, 0.25]),
        },
    ),
    "convolution.onnx": (read_network, {}),
    "detector.safetensors": (read_detector, {}),
}
STORED = [name for name in FILES if name != "convolution.onnx"]
every_file = pytest.mark.parametrize("name", FILES)
every_stored = pytest.mark.parametrize("name", STORED)


def content(name: str) -> bytes:
    return (DETECTOR if name == DETECTOR.name else GOLDEN / name).read_bytes()


def read(name: str, changed: bytes, folder: Path) -> Arrays:
    path = folder / f"changed-{name}"
    path.write_bytes(changed)
    return read_at(name, path)


def read_at(name: str, path: Path) -> Arrays:
    if FILES[name][0] is read_training and find_spec("torch") is None:
        pytest.skip("torch is not installed")
    return FILES[name][0](path)


def loaded_or_refused(name: str, changed: bytes, folder: Path) -> str:
    """The one line that a changed file is refused with; it names the file. Empty if it loads."""
    try:
        read(name, changed, folder)
    except ModelFileError as error:
        said = str(error)
    else:
        return ""
    assert f"changed-{name}" in said
    assert "\n" not in said
    return said


def refused(name: str, changed: bytes, folder: Path, match: str = "") -> str:
    """The one line that a changed file is refused with."""
    said = loaded_or_refused(name, changed, folder)
    assert said, "it loads"
    assert re.search(match, said), said
    return said


# ---------------------------------------------------------------- old files


@every_file
def test_old_files_hold_what_they_held(name: str, tmp_path: Path) -> None:
    found = read(name, content(name), tmp_path)
    expected = FILES[name][1]
    assert not expected or set(found) == set(expected)
    for key, array in expected.items():
        assert found[key].dtype == array.dtype, key
        off = 1 / 509 if name.startswith("int8") else 1e-7 if key == "moment" else 0
        np.testing.assert_allclose(found[key], array, rtol=0, atol=off, err_msg=key)


def test_what_is_read_is_written_to_the_same_bytes(tmp_path: Path) -> None:
    again = tmp_path / "again"
    for name, (reader, _) in FILES.items():
        if reader is read_model:
            dtype = name.partition(".")[0]
            if dtype != "int8":  # rounding what was rounded may move the scale by its last bit
                dtype = dtype if dtype in modelfile.DTYPES else "float32"
                assert modelfile.to_bytes(modelfile.load(GOLDEN / name), dtype) == content(name)
        elif reader is read_shapes:
            assert shapefile.to_bytes(shapefile.load(GOLDEN / name)) == content(name)
        elif reader is read_sums:
            sumsfile.save(sumsfile.load(GOLDEN / name), again)
            assert again.read_bytes() == content(name)


def test_trainings_of_the_first_version_are_refused(tmp_path: Path) -> None:
    old = (GOLDEN / "training-1.safetensors").read_bytes()
    refused("training.safetensors", old, tmp_path, "is not a checkpoint of a training")


# ---------------------------------------------------------------- damaged files


@every_file
def test_files_cut_short_anywhere_are_refused(name: str, tmp_path: Path) -> None:
    whole = content(name)
    header = 8 + int.from_bytes(whole[:8], "little") if name in STORED else 40
    lengths = {*range(10), *range(0, len(whole), max(1, len(whole) // 30)), header, len(whole) - 1}
    for length in sorted(lengths):
        refused(name, whole[:length], tmp_path)
    refused(name, whole + b"\0", tmp_path)


@every_file
@pytest.mark.parametrize(
    "other",
    [
        b"\0" * 4096,
        b"\xff" * 64,
        (2**63).to_bytes(8, "little") + b"{}",
        (2**20 + 1).to_bytes(8, "little") + b"{" + b" " * 2**20,  # beyond the header's limit
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b"null",
        (3).to_bytes(8, "little") + b"\xff\xfe\xfd",
        (20).to_bytes(8, "little") + b'{"__metadata__": 17}',
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        b"just some text, long enough to be looked at",
        b"PK\x03\x04" + b"\0" * 100,
    ],
    ids=lambda value: repr(value[:24]),
)
def test_what_is_no_such_file_is_refused(name: str, other: bytes, tmp_path: Path) -> None:
    refused(name, other, tmp_path)


@every_file
def test_no_format_is_read_as_another(name: str, tmp_path: Path) -> None:
    for other in FILES:
        kinds = [FILES[each][0].__qualname__ for each in (name, other)]
        if kinds[0] != kinds[1]:
            refused(name, content(other), tmp_path)


@every_file
def test_places_that_cannot_be_read_are_named(name: str, tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ModelFileError, match=r"cannot (read|be read)|no checkpoint") as caught:
            read_at(name, path)
        assert str(path) in str(caught.value)


class Trap:
    """A pickle that would make a folder if anybody unpickled it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@every_file
def test_a_pickle_is_never_executed(name: str, tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    refused(name, trap, tmp_path)
    assert not (tmp_path / "sprung").exists()
    pickle.loads(trap)
    assert (tmp_path / "sprung").exists()  # the trap does work


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flipped")


@every_file
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    flips=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6
    ),
    in_header=st.booleans(),
)
def test_flipped_bytes_load_or_are_refused(
    name: str, place: Path, flips: list[tuple[float, int]], in_header: bool
) -> None:
    damaged = bytearray(content(name))
    reach = 8 + int.from_bytes(damaged[:8], "little") if in_header else len(damaged)
    for share, value in flips:
        damaged[int(share * min(reach, len(damaged)))] = value
    loaded_or_refused(name, bytes(damaged), place)


# ---------------------------------------------------------------- changed files


def rewritten(name: str, tensors: Mapping[str, np.ndarray | None], **texts: str | None) -> bytes:
    """A stored file with other tensors or metadata; None takes one away."""
    from safetensors.numpy import load, save

    whole = content(name)
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    arrays = {**load(whole), **tensors}
    said = {**header.get("__metadata__", {}), **texts}
    return bytes(
        save(
            {key: value for key, value in arrays.items() if value is not None},
            {key: value for key, value in said.items() if value is not None},
        )
    )


with_texts = pytest.mark.parametrize("name", [name for name in STORED if name != DETECTOR.name])


@every_stored
def test_the_unchanged_file_is_accepted(name: str, tmp_path: Path) -> None:
    assert read(name, rewritten(name, {}), tmp_path)


@with_texts
@pytest.mark.parametrize("version", ["0", "", "one", 'x"', "1.0", "3"])
def test_another_version_is_refused_by_number(name: str, version: str, tmp_path: Path) -> None:
    said = refused(name, rewritten(name, {}, format_version=version), tmp_path, "format version")
    assert "install a newer pixelreg" in said


@with_texts
@pytest.mark.parametrize("change", [{"format": "other"}, {"format": None}])
def test_safetensors_of_others_are_refused(name: str, change: dict, tmp_path: Path) -> None:
    refused(name, rewritten(name, {}, **change), tmp_path, r"is not a .* of pixelreg")


WRONG = ("", "{", "[" * 100_000, "1" * 5000, "NaN", "[[]]", "[1]", "17", "true", '{"a": 1}')
HARMLESS = {("source", '"text"'), ("model", '"text"'), ("frame", "null")}


@with_texts
@pytest.mark.parametrize(
    "value", [*WRONG, '"text"', "null", None], ids=lambda value: str(value)[:9]
)
def test_metadata_of_the_wrong_type_is_refused(name: str, value: str, tmp_path: Path) -> None:
    whole = content(name)
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    for key in set(header["__metadata__"]) - {"format", "format_version"}:
        said = loaded_or_refused(name, rewritten(name, {}, **{key: value}), tmp_path)
        assert said or (key, value) in HARMLESS or name.startswith("training"), key


@every_stored
def test_tensors_that_do_not_belong_there_are_refused(name: str, tmp_path: Path) -> None:
    for tensor, array in store.read_tensors(content(name), name).items():
        if tensor.startswith(("losses/", "state/")):
            continue
        wrong: list[np.ndarray | None] = [None]
        if not tensor.startswith("optimiser/"):
            wrong.append(np.zeros((2, 5, 7), array.dtype))
        if array.dtype == np.float32 and not name.startswith(("training", "detector")):
            wrong += [np.full_like(array, np.nan), np.full_like(array, -np.inf)]
            wrong += [array.astype(np.float64), array.astype(np.int64)]
        for changed in wrong:
            refused(name, rewritten(name, {tensor: changed}), tmp_path)
    if not name.startswith("training") and not name.endswith("partial"):
        refused(name, rewritten(name, {"happy/more": np.zeros(3, np.float32)}), tmp_path)
