"""Backends: one function set that sums, solves and runs plans, by name."""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pixelreg.backends.gpu import GPU_WORK, in_words
from pixelreg.errors import MissingExtraError, PixelregError, UnknownNameError

if TYPE_CHECKING:
    from pixelreg.backends.array import ArrayBackend

BACKENDS = {
    "numpy": "pixelreg.backends.array:NumpyBackend",
    "numba": "pixelreg.backends.numba:NumbaBackend",
    "cupy": "pixelreg.backends.cupy:CupyBackend",
}
EXTRAS = {"numba": ("Numba", "fast"), "cupy": ("CuPy", "gpu")}

# Importing Numba and its compiled loops takes about half a second in a new process. NumPy does
# about this many operations on single values in that time, so less work is quicker without.
NUMBA_WORK = 1_000_000_000
LOADED_WORK = 10_000_000  # the same where Numba and the loops are imported already
# What compiled loops save on a photo: of finding a face; of its landmarks too; of a paste as well.
FIND_WORK, LOOK_WORK, PICTURE_WORK = 10_000_000, 20_000_000, 60_000_000
QUICKEST, GPU = "numba", "cupy"
EXACT = "loops_faces"


def get_backend(
    name: str = "auto",
    work: float = 0,
    threads: int | None = None,
    solving: float = 0,
    exact: bool = False,
) -> ArrayBackend:
    """The backend of that name.

    name : auto, numpy, numba or cupy; auto takes CuPy where it is installed, a GPU is there and
        ``solving`` is at least `pixelreg.backends.gpu.GPU_WORK`; else Numba where it is installed
        and ``work`` is at least `NUMBA_WORK`; else NumPy.
    work : about how many operations on single values lie ahead; see `plan_work`.
    threads : how many threads Numba may use, None for one a core; NumPy's are its BLAS's own.
    solving : how many multiply-adds of dense systems lie ahead.
    exact : all backends give the same bits, so that auto may go by what is imported already. Where
        they do not, it must not, or the same call would give other bits another time.
    """
    if name == "auto":
        on_gpu = _worth_a_gpu(solving)
        if on_gpu is not None:
            return on_gpu
        loaded = exact and "pixelreg.backends.numba" in sys.modules
        enough = work >= (LOADED_WORK if loaded else NUMBA_WORK)
        name = quickest() if enough else "numpy"
    if name not in BACKENDS:
        raise UnknownNameError("backend", str(name), ("auto", *BACKENDS))
    module, _, attribute = BACKENDS[name].partition(":")
    try:
        backend: ArrayBackend = getattr(import_module(module), attribute)(threads)
    except PixelregError:
        raise
    except Exception as error:
        if name not in EXTRAS:
            raise
        package, extra = EXTRAS[name]
        if _found(name):  # one that is broken raises whatever it likes
            what, said = ("GPU", in_words(error)) if name == GPU else (package, _line(error))
            raise PixelregError(f"no {what} for the backend {name!r}: {said}") from error
        raise MissingExtraError(package, extra, f"the backend {name!r}") from error
    return backend


def quickest() -> str:
    """The quickest backend that is at hand for what goes on for long: numba, or numpy."""
    return QUICKEST if _works() else "numpy"


def _works() -> bool:
    """Whether Numba can be imported; that it cannot, though installed, is told."""
    if not _found(QUICKEST):
        return False
    try:
        import_module(QUICKEST)
    except Exception as error:
        warnings.warn(f"computing without Numba: {_line(error)}", RuntimeWarning, stacklevel=3)
        return False
    return True


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _worth_a_gpu(solving: float) -> ArrayBackend | None:
    """CuPy, where it gains time and can be had; that it cannot, though installed, is told."""
    if solving < GPU_WORK or not _found(GPU):
        return None
    try:
        return get_backend(GPU)
    except PixelregError as error:
        warnings.warn(f"computing on the processor: {error}", RuntimeWarning, stacklevel=3)
        return None


def _found(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # None stands for it in sys.modules
        return False


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compiled_loops(name: str) -> Any:
    """A module of compiled loops, such as ``loops_rig``; None where Numba is not to be had.

    For what goes on for long, as a video does: see `NUMBA_WORK`.
    """
    return import_module(f"pixelreg.backends.{name}") if _works() else None


def loops_by(backend: str, name: str) -> Any:
    """The compiled loops that a backend brings, or None for NumPy alone, as ``auto`` has it."""
    return get_backend(backend).loops(name)


def exact_loops(backend: str = "auto") -> Any:
    """Compiled loops that give NumPy's bits; ``auto`` has them once they are imported.

    See `load_for`.
    """
    if backend != "auto":
        return loops_by(backend, EXACT)
    module = f"pixelreg.backends.{EXACT}"
    return import_module(module) if module in sys.modules else None


def load_for(pictures: int, work: float = PICTURE_WORK) -> None:
    """Import what `exact_loops` gives, where so many pictures are worth it and Numba is there."""
    if pictures * work >= NUMBA_WORK:
        compiled_loops(EXACT)


def plan_work(plan: Any, pictures: int = 1) -> float:
    """About how many operations on single values it takes to run a plan on pictures."""
    return float(pictures * plan.effort * plan.parameters)
