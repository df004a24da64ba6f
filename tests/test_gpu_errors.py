"""A GPU that is not there, does not fit or is full: one line, and ``auto`` goes on without it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cli_tools import Command

import pixelreg.backends as backends
from pixelreg.backends import get_backend
from pixelreg.backends.gpu import GPU_WORK
from pixelreg.errors import MissingExtraError, PixelregError
from pixelreg.regression.kernel import PixelKernelRidge, dense_work

HOME = "pixelreg.backends.cupy"


def error_of(name: str, module: str, says: str) -> Exception:
    """An error as CuPy has it."""
    kind = type(name, (RuntimeError,), {"__module__": module})
    made: Exception = kind(says)
    return made


NO_DEVICE = error_of(
    "CUDARuntimeError",
    "cupy_backends.cuda.api.runtime",
    "cudaErrorNoDevice: no CUDA-capable device is detected",
)
OLD_DRIVER = error_of(
    "CUDARuntimeError",
    "cupy_backends.cuda.api.runtime",
    "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
)
FULL = error_of(
    "OutOfMemoryError",
    "cupy.cuda.memory",
    "Out of memory allocating 9,000 bytes (allocated so far: 0 bytes).",
)
NO_LIBRARY = RuntimeError("CuPy failed to load libnvrtc.so.12: OSError: cannot open shared object")
ODD = error_of("CompileException", "cupy.cuda.compiler", "kernel.cu(7): error\nand much more")


class Card(ModuleType):
    """CuPy as it behaves with a GPU of a kind; its arrays are NumPy's."""

    def __init__(self, devices: int | Exception = 1, full: Exception | None = None) -> None:
        super().__init__("cupy")
        self.__spec__ = ModuleSpec("cupy", None)
        self._full = full
        runtime = SimpleNamespace(getDeviceCount=lambda: self._count(devices))
        self.cuda = SimpleNamespace(runtime=runtime)
        self.asnumpy = np.asarray
        self.RawModule = SimpleNamespace

    def _count(self, devices: int | Exception) -> int:
        if isinstance(devices, Exception):
            raise devices
        return devices

    def asarray(self, values: Any) -> Any:
        if self._full is not None:
            raise self._full
        return np.asarray(values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(np, name)


@pytest.fixture
def card(monkeypatch) -> Iterator[Callable[..., None]]:
    def put(module: ModuleType) -> None:
        monkeypatch.setitem(sys.modules, "cupy", module)
        monkeypatch.delitem(sys.modules, HOME, raising=False)

    yield put
    sys.modules.pop(HOME, None)


@pytest.mark.parametrize(
    ("devices", "says"),
    [
        (0, "no NVIDIA GPU that can be used"),
        (NO_DEVICE, "no NVIDIA GPU that can be used"),
        (OLD_DRIVER, "no NVIDIA driver, or it is older.*cupy-cuda12x"),
        (NO_LIBRARY, r"parts of CUDA are missing: .*pixelreg\[gpu\]"),
        (ODD, r"CuPy says CompileException: kernel\.cu\(7\): error$"),
    ],
)
def test_a_card_that_cannot_be_used_is_one_line(card, devices, says) -> None:
    card(Card(devices))
    with pytest.raises(PixelregError, match=says) as caught:
        get_backend("cupy")
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, MissingExtraError)


def test_cupy_that_cannot_be_imported_is_not_called_missing(card, monkeypatch, tmp_path) -> None:
    (tmp_path / "cupy.py").write_text("raise ImportError('libcuda.so.1: no such file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.delitem(sys.modules, HOME, raising=False)
    with pytest.raises(PixelregError, match="no NVIDIA driver") as caught:
        get_backend("cupy")
    assert not isinstance(caught.value, MissingExtraError)


@pytest.mark.parametrize(
    "broken",
    ["raise OSError('libnvrtc.so: no such file')", "x =", "", "raise ValueError('size changed')"],
)
def test_cupy_that_is_broken_in_any_way_is_one_line(card, monkeypatch, tmp_path, broken) -> None:
    (tmp_path / "cupy.py").write_text(broken)
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("cupy", HOME):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(PixelregError, match="no GPU for the backend 'cupy': CuPy says"):
        get_backend("cupy")
    with pytest.warns(RuntimeWarning, match="computing on the processor: no GPU"):
        assert get_backend("auto", solving=GPU_WORK).name == "numpy"


@pytest.mark.parametrize("work", ["to_device", "pixel_sums", "solve_dense"])
def test_a_card_that_is_full_is_one_line(card, work) -> None:
    card(Card(full=FULL))
    backend, values = get_backend("cupy"), np.zeros((2, 4), np.uint8)
    arguments = {
        "to_device": (values,),
        "pixel_sums": (values, values),
        "solve_dense": (values / 1.0, values / 1.0, 1.0, 0.4),
    }
    with pytest.raises(PixelregError, match=r"too little memory left.*--backend numba"):
        getattr(backend, work)(*arguments[work])


def test_what_is_no_error_of_cuda_is_left_as_it_is(card) -> None:
    card(Card(full=ValueError("a mistake of ours")))
    with pytest.raises(ValueError, match="a mistake of ours"):
        get_backend("cupy").to_device(np.zeros(3))


def test_the_command_line_ends_with_a_line(card, command: Command, tmp_path: Path) -> None:
    card(Card(OLD_DRIVER))
    done = command("fit", "--data", tmp_path, "--model", "rr", "--backend", "cupy")
    assert done.code == 1
    assert done.err.startswith("pixelreg: error: no GPU for the backend 'cupy': there is no NVIDIA")
    assert done.err.count("\n") == 1


# -- auto --------------------------------------------------------------------------------------


def test_auto_takes_a_card_for_large_systems_alone(card) -> None:
    card(Card())
    assert get_backend("auto", 0, None, GPU_WORK).name == "cupy"
    assert get_backend("auto", 0, None, GPU_WORK - 1).name == "numpy"
    assert get_backend("auto", 100 * GPU_WORK).name != "cupy", "what only reads pictures"


def test_auto_tells_of_a_card_that_it_cannot_use(card) -> None:
    card(Card(NO_DEVICE))
    with pytest.warns(RuntimeWarning, match="on the processor: .*no NVIDIA GPU"):
        backend = get_backend("auto", 0, None, GPU_WORK)
    assert backend.name == "numpy"


def test_auto_needs_no_word_where_there_is_no_cupy(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_backend("auto", 0, None, GPU_WORK).name == "numpy"


def test_fits_say_how_much_they_solve(card, monkeypatch) -> None:
    """Dense systems of the paper's 400 pairs at 128 x 128 are worth a card, 60 pairs are not."""
    pixels = 128 * 128 * 3
    assert dense_work(60, pixels) < GPU_WORK < dense_work(400, pixels)
    card(Card())
    monkeypatch.setattr(backends, "GPU_WORK", 1)
    X = np.random.default_rng(0).integers(0, 256, (5, 12), dtype=np.uint8)
    on_card = PixelKernelRidge(solver="dense").fit(X, X)
    plain = PixelKernelRidge(solver="dense", backend="numpy").fit(X, X)
    assert (on_card.backend_, plain.backend_) == ("cupy", "numpy")
    np.testing.assert_allclose(on_card.dual_coef_, plain.dual_coef_, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_the_work_of_levels_is_about_that_of_their_features(sigma) -> None:
    X = np.zeros((2, 30), np.uint8)
    model = PixelKernelRidge(sigma=sigma).fit(X, X)
    rank = model.coef_.shape[1]
    exact = 30 * (256 * rank * (rank + 5) / 2 + rank**3 / 3)
    assert 0.5 < model.solving(model.sums_) / exact < 2.5
