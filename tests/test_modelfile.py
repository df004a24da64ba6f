"""Model files: what is written, byte for byte, and that no senseless model gets in.

`test_formats` damages them, as all stored files.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as safetensors_load
from safetensors.numpy import save as safetensors_save

from pixelreg.backends import get_backend
from pixelreg.errors import ModelFileError, PixelregError, UnknownNameError, UsageError
from pixelreg.files import write_atomically, write_bytes
from pixelreg.models import file as modelfile
from pixelreg.models.model import Frame, Model, Provenance
from pixelreg.models.plans import AffinePlan, FlowPlan, Plan
from pixelreg.regression import (
    FullRidge,
    MaskedRidge,
    PixelKernelRidge,
    PixelRidge,
    SparseFieldRidge,
)

TINY = Model(
    {
        "happy": AffinePlan(
            np.arange(3, dtype=np.float32).reshape(1, 1, 3),
            np.full((1, 1, 3), 0.5, np.float32),
        )
    },
    "neutral",
    "rr",
    {"happy": {"alpha": 0.4, "prior": "zero"}},
    Frame((0.25, 0.5), (0.75, 0.5)),
    Provenance("Set", 2, 3, "CC BY 4.0", "Its makers", "0.1.0", "2030-01-02"),
)
# Names, keys and order as any reader must find them; padded with blanks to a multiple of 8.
TINY_METADATA = {
    "format": "pixelreg",
    "format_version": "1",
    "source": '"neutral"',
    "targets": '["happy"]',
    "plans": '{"happy": "affine"}',
    "model": '"rr"',
    "settings": '{"happy": {"alpha": 0.4, "prior": "zero"}}',
    "size": "1",
    "colour": '"sRGB"',
    "frame": '{"left_eye": [0.25, 0.5], "right_eye": [0.75, 0.5]}',
    "provenance": (
        '{"attribution": "Its makers", "date": "2030-01-02", "licence": "CC BY 4.0", '
        '"pairs": 3, "people": 2, "pixelreg_version": "0.1.0", "training_set": "Set"}'
    ),
}
TINY_TENSORS = {
    "happy/bias": {"dtype": "F32", "shape": [1, 1, 3], "data_offsets": [0, 12]},
    "happy/weight": {"dtype": "F32", "shape": [1, 1, 3], "data_offsets": [12, 24]},
}
DTYPES = ("float32", "float16", "int8")


def parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def fitted_plans(size: int = 5) -> dict[str, Plan]:
    rng = np.random.default_rng(0)
    X, T = rng.integers(0, 256, (2, 12, size * size * 3), dtype=np.uint8)
    models = {
        "rr": PixelRidge(),
        "kr": PixelKernelRidge(sigma=0.3),
        "mr": MaskedRidge(),
        "lsrf": SparseFieldRidge(receptive_field=3, pixels=2),
        "full": FullRidge(),
    }
    plans = {kind: model.fit(X, T).to_plan((size, size, 3)) for kind, model in models.items()}
    moves, *fields = (rng.normal(0, 0.1, (size, size, n)).astype(np.float32) for n in (2, 3, 3))
    return {**plans, "flow": FlowPlan(moves, *fields, np.array([1.0], np.float32))}


# ---- what is written


def test_golden_header_names_and_bytes() -> None:
    content = modelfile.to_bytes(TINY)
    expected = {"__metadata__": dict(sorted(TINY_METADATA.items())), **TINY_TENSORS}
    text = json.dumps(expected, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    assert content[8 : 8 + len(text)] == text
    assert content[:8] == len(text).to_bytes(8, "little")
    header, data = parts(content)
    assert header.pop("__metadata__") == TINY_METADATA
    assert header == TINY_TENSORS
    assert data == struct.pack("<6f", 0.5, 0.5, 0.5, 0.0, 1.0, 2.0)
    assert len(content) == 8 + int.from_bytes(content[:8], "little") + 24


def test_a_file_written_by_hand_is_read() -> None:
    header = {
        "__metadata__": TINY_METADATA,
        "happy/weight": {"dtype": "F32", "shape": [1, 1, 3], "data_offsets": [0, 12]},
        "happy/bias": {"dtype": "F32", "shape": [1, 1, 3], "data_offsets": [12, 24]},
    }
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + struct.pack("<6f", 0, 1, 2, 0.5, 0.5, 0.5)
    same_model(modelfile.from_bytes(content, "by hand"), TINY)


def test_one_model_gives_one_file_byte_for_byte() -> None:
    assert len({modelfile.to_bytes(TINY) for _ in range(10)}) == 1
    script = (
        "import pickle, sys; from pixelreg.models import file as modelfile; "
        "sys.stdout.buffer.write(modelfile.to_bytes(pickle.load(sys.stdin.buffer)))"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps(TINY), capture_output=True, check=True
    )
    assert elsewhere.stdout == modelfile.to_bytes(TINY)


def test_other_readers_of_safetensors_open_it() -> None:
    tensors = safetensors_load(modelfile.to_bytes(TINY))
    assert tensors["happy/weight"].tolist() == [[[0.0, 1.0, 2.0]]]


def test_the_papers_model_fits_an_embedded_device() -> None:
    rng = np.random.default_rng(1)
    X = rng.integers(0, 256, (40, 128 * 128 * 3), dtype=np.uint8)
    T = np.clip(X.astype(int) + rng.integers(-50, 51, X.shape), 0, 255).astype(np.uint8)
    model = Model({"happy": PixelRidge().fit(X, T).to_plan((128, 128, 3))})
    assert model.parameters == 98_304
    # 384, 192 and 96 KiB of numbers; the rest is the header, and int8's scale and offset a row.
    for dtype, kib, error in (("float32", 384, 0.0), ("float16", 192, 0.2), ("int8", 96, 1.5)):
        size = len(modelfile.to_bytes(model, dtype))
        assert 0 < size - kib * 1024 < 4096
        assert modelfile.rounding_error(model, dtype) <= error


# ---- round trips


def same_model(found: Model, expected: Model, exact: bool = True) -> None:
    assert found.targets == expected.targets
    assert (found.source, found.kind) == (expected.source, expected.kind)
    assert found.settings == expected.settings
    assert found.frame == expected.frame
    assert found.provenance == expected.provenance
    for target, plan in expected.plans.items():
        other = found.plans[target]
        assert type(other) is type(plan)
        for name, array in plan.tensors().items():
            assert other.tensors()[name].dtype == array.dtype
            if exact:
                assert other.tensors()[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["rr", "kr", "mr", "lsrf", "full", "flow"])
def test_every_kind_and_type_comes_back(kind, dtype, tmp_path) -> None:
    plan = fitted_plans()[kind]
    model = Model({"happy": plan}, "neutral", kind, {"happy": {"alpha": 0.4}})
    path = tmp_path / "model.safetensors"
    size = modelfile.save(model, path, dtype)
    assert path.stat().st_size == size
    found = modelfile.load(path)
    same_model(found, model, exact=dtype == "float32")
    for name, array in plan.tensors().items():
        stored = found.plans["happy"].tensors()[name].astype(float)
        span = np.ptp(array.reshape(len(array), -1), axis=1).max()
        allowed = {"float32": 0, "float16": np.abs(array).max() / 2048 + 6e-8, "int8": span / 509}
        assert np.abs(stored - array).max() <= allowed[dtype]
    grey = np.full(plan.shape, 100, np.uint8)
    gap = get_backend().predict(found.plans["happy"], grey) - get_backend().predict(plan, grey)
    assert np.abs(gap).max() * 255 <= {"float32": 0, "float16": 1.0, "int8": 20.0}[dtype]


def test_several_targets_of_several_kinds_share_a_file(tmp_path) -> None:
    plans = fitted_plans()
    model = Model(
        {"happy": plans["rr"], "sad": plans["kr"], "big-smile": plans["mr"], "été/1": plans["rr"]}
    )
    path = tmp_path / "model.safetensors"
    modelfile.save(model, path)
    found = modelfile.load(path)
    assert found.targets == ("happy", "sad", "big-smile", "été/1")
    same_model(found, model)


@pytest.mark.parametrize("dtype", DTYPES)
def test_constant_and_extreme_rows_are_stored(dtype) -> None:
    weight = np.zeros((4, 4, 3), np.float32)
    weight[1] = 1.25
    weight[2, :2] = -300.0
    weight[3] = np.linspace(0, 1e-6, 12, dtype=np.float32).reshape(4, 3)
    model = Model({"happy": AffinePlan(weight, np.zeros_like(weight))})
    found = modelfile.from_bytes(modelfile.to_bytes(model, dtype), "x").plans["happy"].weight
    assert np.array_equal(found[:2], weight[:2])
    assert np.abs(found[2] - weight[2]).max() <= (0.6 if dtype == "int8" else 0.0)
    np.testing.assert_allclose(found[3], weight[3], atol=6e-8)


def test_values_beyond_float16_are_refused_not_stored_as_infinite() -> None:
    weight = np.full((2, 2, 3), 1e5, np.float32)
    model = Model({"happy": AffinePlan(weight, weight)})
    with pytest.raises(UsageError, match="float16"):
        modelfile.to_bytes(model, "float16")
    with pytest.raises(UnknownNameError, match="float32, float16, int8"):
        modelfile.to_bytes(model, "float64")


def test_rounding_error_is_what_rounding_costs() -> None:
    for kind, plan in fitted_plans().items():
        model = Model({"happy": plan}, kind=kind)
        assert modelfile.rounding_error(model, "float32") == 0.0
        stored = modelfile.from_bytes(modelfile.to_bytes(model, "int8"), "x").plans["happy"]
        gaps = [
            np.abs(get_backend().predict(stored, p) - get_backend().predict(plan, p)).max() * 255
            for p in (np.full(plan.shape, level, np.uint8) for level in range(0, 256, 17))
        ]
        assert modelfile.rounding_error(model, "int8") == pytest.approx(max(gaps), rel=1e-4)
        assert max(gaps) > 0


# ---- models that make no sense


def test_models_refuse_plans_that_do_not_belong_together() -> None:
    plans = fitted_plans(5)
    with pytest.raises(ValueError, match="one shape"):
        Model({"happy": plans["rr"], "sad": fitted_plans(4)["rr"]})
    with pytest.raises(ValueError, match="one shape"):
        Model({})
    for shape in ((2, 3, 3), (2, 2, 1)):
        zeros = np.zeros(shape, np.float32)
        with pytest.raises(ValueError, match="square RGB"):
            Model({"happy": AffinePlan(zeros, zeros)})
    with pytest.raises(UnknownNameError, match=r"'sad'.*happy"):
        TINY.plan("sad")
    for eyes in (((0.3, 0.4), (0.3, 0.4)), ((0.3, np.nan), (0.6, 0.4))):
        with pytest.raises(UsageError, match="eye"):
            Frame(*eyes)


# ---- what is refused


def build(metadata: dict[str, Any] | None = None, tensors: dict[str, Any] | None = None) -> bytes:
    """The tiny model's file with other metadata or tensors; None takes one away."""
    texts = {**TINY_METADATA, **(metadata or {})}
    arrays = {
        "happy/weight": np.zeros((1, 1, 3), np.float32),
        "happy/bias": np.zeros((1, 1, 3), np.float32),
        **(tensors or {}),
    }
    return safetensors_save(
        {k: v for k, v in arrays.items() if v is not None},
        {k: v for k, v in texts.items() if v is not None},
    )


def refused(content: bytes, match: str = "") -> str:
    with pytest.raises(ModelFileError, match=match or None) as caught:
        modelfile.from_bytes(content, "the file")
    message = str(caught.value)
    assert "the file" in message
    assert caught.value.exit_code == 1
    return message


def test_the_unchanged_file_is_accepted() -> None:
    assert modelfile.from_bytes(build(), "the file").targets == ("happy",)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"targets": "[]"}, "targets"),
        ({"targets": '["happy", "happy"]'}, "happy"),
        ({"targets": '["sad"]'}, "sad"),
        ({"targets": "[1]"}, "targets"),
        ({"plans": '{"happy": "deep"}'}, "affine"),
        ({"plans": '{"happy": ["affine"]}'}, ""),
        ({"plans": '{"happy": "kernel"}'}, "table"),
        ({"size": "2"}, "size"),
        ({"size": "0"}, "size"),
        ({"size": "true"}, "size"),
        ({"size": "1.0"}, "size"),
        ({"size": "1000000000"}, "size"),
        ({"colour": '"CMYK"'}, "colour"),
        ({"settings": '{"happy": 3}'}, "settings"),
        ({"settings": '"happy"'}, "settings"),
        ({"frame": '{"left_eye": [0.5, 0.5], "right_eye": [0.5, 0.5]}'}, "eye"),
        ({"frame": '{"left_eye": [NaN, 0.5], "right_eye": [0.6, 0.5]}'}, "eye"),
        ({"frame": '{"left_eye": [1' + "0" * 400 + ', 0.5], "right_eye": [0.6, 0.5]}'}, ""),
        ({"frame": '{"left_eye": [0.5], "right_eye": [0.6, 0.5]}'}, ""),
        ({"provenance": '{"people": "two"}'}, "people"),
        ({"provenance": '{"people": true}'}, "people"),
        ({"provenance": '{"licence": 4}'}, "licence"),
        ({"provenance": '{"unheard": "of"}'}, "unheard"),
        ({"source": "1" * 5000}, ""),
        ({"source": "[" * 100_000}, ""),
    ],
    ids=lambda value: str(value)[:60],
)
def test_metadata_that_contradicts_itself_is_refused(changes, match) -> None:
    refused(build(changes), match)


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ({"happy/bias": None}, "happy/bias"),
        # With no tensor the oldest safetensors leaves the metadata out as well.
        ({"happy/weight": None, "happy/bias": None}, "happy/weight|is not a model"),
        ({"sad/weight": np.zeros((1, 1, 3), np.float32)}, "sad/weight"),
        ({"happy/weight": np.zeros((1, 1, 4), np.float32)}, "alike"),
        ({"happy/weight": np.zeros((1, 3), np.float32)}, "affine"),
        ({"happy/weight": np.array(1, np.float32)}, "affine"),
        ({"happy/weight": np.zeros((0, 0, 3), np.float32)}, "alike"),
        ({"happy/bias": np.full((1, 1, 3), np.inf, np.float16)}, "infinite"),
        ({"happy/weight": np.zeros((1, 1, 3), np.int8)}, "int8"),
        ({"happy/weight": np.zeros((1, 1, 3), np.bool_)}, "bool"),
        ({"happy/weight.scale": np.ones(1, np.float32)}, "offset"),
        ({"happy/weight.offset": np.ones(1, np.float32)}, "offset"),
        (
            {
                "happy/weight": np.zeros((1, 1, 3), np.int8),
                "happy/weight.scale": np.ones(2, np.float32),
                "happy/weight.offset": np.ones(2, np.float32),
            },
            "wrong shape",
        ),
        (
            {
                "happy/weight": np.ones((1, 1, 3), np.int8),
                "happy/weight.scale": np.full(1, np.inf, np.float32),
                "happy/weight.offset": np.ones(1, np.float32),
            },
            "infinite",
        ),
        (
            {
                "happy/weight": np.full((1, 1, 3), 127, np.int8),
                "happy/weight.scale": np.full(1, 3e38, np.float32),
                "happy/weight.offset": np.ones(1, np.float32),
            },
            "infinite",
        ),
    ],
    ids=lambda value: str(list(value) if isinstance(value, dict) else value)[:60],
)
def test_tensors_that_make_no_plan_are_refused(tensors, match) -> None:
    refused(build(tensors=tensors), match)


def test_empty_pictures_are_refused() -> None:
    empty = np.zeros((0, 0, 3), np.float32)
    refused(build({"size": "0"}, {"happy/weight": empty, "happy/bias": empty}), "size")


def loads_or_is_refused(content: bytes) -> None:
    try:
        model = modelfile.from_bytes(content, "the file")
    except ModelFileError:
        return
    picture = np.full(model.shape, 77, np.uint8)
    for target in model.targets:
        with np.errstate(all="ignore"):  # a flipped exponent makes a finite but huge weight
            found = get_backend().predict(model.plan(target), picture)
        assert found.shape == model.shape


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.sampled_from([k for k in TINY_METADATA if not k.startswith("format")]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["happy", "left_eye", "right_eye", "people", "licence"]),
                    inner,
                    max_size=3,
                )
            ),
            max_leaves=6,
        ),
        max_size=3,
    )
)
def test_any_metadata_loads_or_is_refused(values) -> None:
    loads_or_is_refused(build({key: json.dumps(value) for key, value in values.items()}))


def test_huge_files_are_refused_before_they_are_read(tmp_path) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.truncate(modelfile.MAX_BYTES + 1)  # sparse: takes no room
    with pytest.raises(ModelFileError, match="larger"):
        modelfile.load(path)


# ---- writing whole or not at all


def folder_is(folder: Path, expected: dict[str, bytes]) -> None:
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == expected


def no_space(_file: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half_then(error: BaseException) -> Callable[[Any], None]:
    def write(file: Any) -> None:
        file.write(b"half of it")
        file.flush()
        raise error

    return write


@pytest.mark.parametrize("before", [None, b"old content"])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), PixelregError),
        (ValueError("a bug"), ValueError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (MemoryError(), MemoryError),
    ],
)
def test_a_failed_write_leaves_what_was_there(tmp_path, before, error, expected) -> None:
    path = tmp_path / "model.safetensors"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(expected) as caught:
        write_atomically(path, half_then(error))
    folder_is(tmp_path, {} if before is None else {path.name: before})
    if expected is PixelregError:
        assert "No space left" in str(caught.value)
        assert str(path) in str(caught.value)


def test_a_full_disk_leaves_the_old_model(tmp_path, monkeypatch) -> None:
    path = tmp_path / "model.safetensors"
    modelfile.save(TINY, path)
    old = path.read_bytes()
    real_open = Path.open

    class Full:
        """A file on a full disk: nothing can be written to it."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        write = staticmethod(no_space)

    def full_open(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = real_open(self, mode, *args, **kwargs)
        return Full(file) if "b" in mode and mode != "rb" else file

    monkeypatch.setattr(Path, "open", full_open)
    with pytest.raises(PixelregError, match="No space left"):
        modelfile.save(Model({"sad": TINY.plans["happy"]}), path)
    monkeypatch.undo()
    folder_is(tmp_path, {path.name: old})


def test_a_failed_rename_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PixelregError, match="Permission denied"):
        write_bytes(tmp_path / "x", b"content")
    monkeypatch.undo()
    folder_is(tmp_path, {})


def test_places_that_cannot_be_written_to_are_named(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "below", tmp_path / "file" / "further" / "below", tmp_path):
        with pytest.raises(PixelregError, match="cannot write") as caught:
            write_bytes(path, b"content")
        assert str(path) in str(caught.value)
    folder_is(tmp_path, {"file": b""})


def test_folders_are_made_and_long_names_kept(tmp_path) -> None:
    name = "n" * 250  # the temporary name must not be longer than the system allows
    path = tmp_path / "new" / "deep" / name
    write_bytes(path, b"content")
    folder_is(path.parent, {name: b"content"})


def test_modes_are_those_of_a_plain_file(tmp_path) -> None:
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    plain.write_bytes(b"")
    write_bytes(ours, b"")
    assert stat.S_IMODE(ours.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    ours.chmod(0o640)
    write_bytes(ours, b"again")
    assert stat.S_IMODE(ours.stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_bytes(pipe, b"content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
