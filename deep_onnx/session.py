"""An ONNX model that is ready to run: checked, on what was asked for, quiet."""

from __future__ import annotations

import ctypes
import io
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from deep_onnx.buffers import Pool
from deep_onnx.file import Contents, first_line
from pixelreg.arrays import Array
from pixelreg.backends.providers import AUTO, CPU, PACKAGES, Asked, Provider, asked
from pixelreg.errors import ModelFileError, PixelregError, UsageError, need

MOST_MEMORY = 2**31  # bytes of all models that are not trusted
# Seconds of a run, and more for each million numbers that go in: a slow processor takes half.
SECONDS, SECONDS_A_MILLION = 60.0, 120.0
MOST_WORDS = 4000  # letters of what onnxruntime says that are looked through
OUT_OF_MEMORY = ("Available memory", "bad_alloc", "Failed to allocate memory", "out of memory")
SILENT = 4  # onnxruntime's log level: fatal errors only

Say = Callable[[str], None]
Providers = Sequence[tuple[str, Mapping[str, str]]]


class Session:
    """An onnxruntime session over one ONNX model, to be reused; threads take turns.

    contents : the model, as `deep_onnx.file` found it in order.
    provider : ``"auto"`` for CUDA where it can be had, or a name of
        `pixelreg.backends.providers.PROVIDERS`, perhaps with settings: ``"cuda:device=1,tf32=on"``.
    threads : how many threads one operator may use on the processor; None for one a core.
    trusted : without limits of time and memory, which a file of a stranger needs.
    say : told in one line when ``"auto"`` could have had CUDA, but did not get it; None for a
        RuntimeWarning.

    It has ``contents`` without their bytes, and
    providers : what runs the model, onnxruntime's names; the first one takes what it can.
    warm_up_s : seconds that the first run took, which prepares memory and kernels; None before.
    """

    def __init__(
        self,
        contents: Contents,
        provider: str = "auto",
        threads: int | None = None,
        say: Say | None = None,
        trusted: bool = False,
    ) -> None:
        wanted = asked(provider)
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, not {threads}")
        self.contents = replace(contents, data=b"")  # onnxruntime makes its own of them
        self.warm_up_s: float | None = None
        self._turn = threading.Lock()
        self._ort = need("onnxruntime", "onnxruntime", "deep", "running an ONNX model")
        self._trusted = trusted
        self._session = self._create(contents, wanted, threads, say or _warn)
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        self._runs = self._runner(wanted)

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """All outputs of the graph, in its order; every input by name, in its type and shape."""
        with self._turn:
            start = time.perf_counter()
            try:
                with self._watched(inputs) as options:
                    outputs = self._runs(inputs, options)
            except Exception as error:  # onnxruntime's errors have no class of their own in common
                on_gpu = self.providers[0] != CPU
                words = first_line(_plain_words(error))
                reason = _exceeded(str(error), on_gpu) or f"cannot be run: {words}"
                raise ModelFileError(f"{self.contents.name} {reason}") from error
            if self.warm_up_s is None:
                self.warm_up_s = time.perf_counter() - start
        return outputs

    @contextmanager
    def _watched(self, inputs: Mapping[str, Array]) -> Iterator[Any]:
        """Options of a run that ends, between two operators, once it takes too long."""
        options = self._ort.RunOptions()
        options.log_severity_level = SILENT
        numbers = sum(array.size for array in inputs.values())
        watch = threading.Timer(
            SECONDS + SECONDS_A_MILLION * numbers / 1e6,
            lambda: setattr(options, "terminate", True),
        )
        watch.daemon = True
        if not self._trusted:
            watch.start()
        try:
            yield options
        finally:
            watch.cancel()

    def _plain(self, inputs: Mapping[str, Array], options: Any) -> list[Array]:
        outputs: list[Array] = self._session.run(None, dict(inputs), options)
        return outputs

    def _runner(self, wanted: Asked) -> Callable[[Mapping[str, Array], Any], list[Array]]:
        """What runs: with arrays that stay in the GPU's memory, where one runs the model."""
        memory, options = wanted.provider.memory, wanted.options
        if not memory or wanted.provider.own not in self.providers:
            return self._plain
        graphs = wanted.on("enable_cuda_graph") or wanted.on("trt_cuda_graph_enable")
        place = (memory, int(options.get("device_id", "0")))
        return Pool(self._ort, self._session, place, graphs).run

    def _create(self, contents: Contents, wanted: Asked, threads: int | None, say: Say) -> Any:
        options = _options(self._ort, threads)
        if not self._trusted:
            _bound_memory(self._ort, options)
        chosen = wanted.provider
        on_processor: Providers = [(CPU, {})]
        if chosen.own == CPU:
            return self._made(contents, options, on_processor)
        if chosen.own not in self._ort.get_available_providers():
            if wanted.name != AUTO:
                raise PixelregError(f"no {chosen.title}: {_without(chosen)}")
            if not missing_gpu():
                say(f"running on the processor, though there is an NVIDIA GPU: {_without(chosen)}")
            return self._made(contents, options, on_processor)
        options.enable_mem_pattern = chosen.plans_memory
        self._ort.set_default_logger_severity(SILENT)  # it logs what we say ourselves
        said = _preload(self._ort) if chosen.memory else ""
        try:
            session, refusal = self._made(contents, options, wanted.in_order()), ""
        except ModelFileError as error:
            session, refusal = self._made(contents, options, on_processor), str(error)
        # onnxruntime gives a session on the processor without a word where CUDA cannot be had.
        if chosen.own in session.get_providers():
            return session
        reason = (chosen.memory and missing_gpu()) or refusal or said or chosen.missing
        if wanted.name != AUTO:
            raise PixelregError(f"no {chosen.title}: {reason}")
        say(f"running on the processor, without CUDA: {reason}")
        return session

    def _made(self, contents: Contents, options: Any, providers: Providers) -> Any:
        try:
            return self._ort.InferenceSession(
                contents.data,
                options,
                providers=providers,
                # Without these it prints, tries again by itself, and reads settings of the file.
                enable_fallback=0,
                read_config_from_model=0,
            )
        except Exception as error:  # as in `run`
            said = _said(error)
            reason = (
                _too_new(said, self._ort)
                or _exceeded(said, providers[0][0] != CPU)
                or first_line(_plain_words(error))
            )
            raise ModelFileError(f"{contents.name} {reason}") from error


def _too_new(said: str, ort: Any) -> str:
    """That a file is of a newer version than onnxruntime reads; empty if it said something else."""
    # The version, what it is of where a set of operators has it, and the newest.
    found = re.search(r"IR version: (\d+), ()max supported IR version: (\d+)", said) or re.search(
        r"Opset (\d+) is under development.* domain (\S+) is till opset (\d+)", said
    )
    if not found:
        return ""
    has, domain, newest = found.groups()
    what = f"the operators of {domain} (opset)" if domain else "ONNX's file format (IR)"
    return (
        f"has version {has} of {what}, and the newest that can be read is {newest}, with "
        f"onnxruntime {ort.__version__}; install a newer one (python -m pip install -U "
        "onnxruntime), or export the model again for that version"
    )


def _said(error: Exception) -> str:
    """An error's words, as many as are read: names of 100,000 letters are a stranger's as well."""
    return str(error)[:MOST_WORDS]


def _plain_words(error: Exception) -> str:
    """What onnxruntime says, without where in its source it says so."""
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", _said(error))
    said = re.sub(r"(?<!\S)\S+\.(cc|h):\d+ [^\n]*?\) (?=[A-Z])", "", said)
    return f"is refused by onnxruntime: {said}"


def _exceeded(said: str, on_gpu: bool) -> str:
    """That a limit was met; empty if something else was said."""
    if "terminate flag" in said:
        return "takes too long, and was stopped; if you trust it, run it with --trust"
    if not any(words in said for words in OUT_OF_MEMORY):
        return ""
    if on_gpu:
        return "takes more memory than the GPU has for it; take smaller pictures, or --provider cpu"
    return (
        f"takes more than {MOST_MEMORY / 2**30:.0f} GB of memory, and was stopped; if you "
        "trust it, run it with --trust, or take smaller pictures"
    )


def _without(provider: Provider) -> str:
    """That the installed onnxruntime lacks a provider, and what to do."""
    package = provider.package
    there = [name for name in PACKAGES if _installed(name)]
    if package in there and len(there) == 1:
        return f"the installed {package} has no {provider.own} on this system"
    away = f"python -m pip uninstall -y {' '.join(there)}"
    if package in there:
        return (
            f"{' and '.join(there)} are installed together, and each lies in the other's place: "
            f"{away}, then python -m pip install {package}"
        )
    wanted = "'pixelreg[gpu]'" if provider.memory else package
    return (
        f"the installed {' '.join(there)} is without {provider.own}; replace it: "
        f"{away}, then python -m pip install {wanted}"
    )


def _installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _bound_memory(ort: Any, options: Any) -> None:
    """Let a session take its memory from one place of the process, which gives so much and no more.

    It asks for what it needs before it has it, so that what is too much is refused at once.
    """
    place = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    settings = ort.OrtArenaCfg({"max_mem": MOST_MEMORY, "arena_extend_strategy": 1})
    try:
        ort.create_and_register_allocator(place, settings)
    except RuntimeError as error:  # older versions refuse a second time, newer ones do nothing
        if "already been registered" not in str(error):
            raise
    options.add_session_config_entry("session.use_env_allocators", "1")


def missing_gpu() -> str:
    """Why there is no NVIDIA GPU to be used; empty where there is one."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        count = ctypes.c_int()
        found = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    except (OSError, AttributeError):
        return "this machine has no NVIDIA driver"
    return "" if found and count.value else "this machine has no NVIDIA GPU that can be used"


def _warn(line: str) -> None:
    warnings.warn(line, RuntimeWarning, stacklevel=2)


def _options(ort: Any, threads: int | None) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = SILENT
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # Idle threads that wait in a loop take the processor from what happens between two runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Bytes that look like onnxruntime's own format would be read as such, past our checks.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


def _preload(ort: Any) -> str:
    """Load CUDA's libraries from Python packages, where there are any; what was said of it."""
    printed = io.StringIO()
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(printed):
            ort.preload_dlls()
    lines = printed.getvalue().splitlines()
    return lines[0].strip() if lines else ""
