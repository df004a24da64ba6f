"""An ONNX model that is ready to run: checked, on the processor or on CUDA, quiet."""

from __future__ import annotations

import ctypes
import io
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from typing import Any

from deep_onnx.file import Contents, first_line
from pixelreg.arrays import Array
from pixelreg.errors import ModelFileError, PixelregError, UnknownNameError, UsageError, need

PROVIDERS = ("auto", "cuda", "cpu")
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
MOST_MEMORY = 2**31  # bytes of all models that are not trusted
# Seconds of a run, and more for each million numbers that go in: a slow processor takes half.
SECONDS, SECONDS_A_MILLION = 60.0, 120.0
SILENT = 4  # onnxruntime's log level: fatal errors only

Say = Callable[[str], None]


class Session:
    """An onnxruntime session over one ONNX model, to be reused; threads take turns.

    contents : the model, as `deep_onnx.file` found it in order.
    provider : ``"cuda"``, ``"cpu"``, or ``"auto"`` for CUDA where it can be had.
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
        if provider not in PROVIDERS:
            raise UnknownNameError("provider", provider, PROVIDERS)
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, not {threads}")
        self.contents = replace(contents, data=b"")  # onnxruntime makes its own of them
        self.warm_up_s: float | None = None
        self._turn = threading.Lock()
        self._ort = need("onnxruntime", "onnxruntime", "deep", "running an ONNX model")
        self._trusted = trusted
        self._session = self._create(contents, provider, threads, say or _warn)
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """All outputs of the graph, in its order; every input by name, in its type and shape."""
        with self._turn:
            start = time.perf_counter()
            try:
                with self._watched(inputs) as options:
                    on_gpu = CUDA in self.providers
                    outputs = (self._bound if on_gpu else self._plain)(inputs, options)
            except Exception as error:  # onnxruntime's errors have no class of their own in common
                reason = (
                    _exceeded(str(error)) or f"cannot be run: {first_line(_plain_words(error))}"
                )
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

    def _bound(self, inputs: Mapping[str, Array], options: Any) -> list[Array]:
        """The same on CUDA: what lies between operators never leaves the GPU."""
        binding = self._session.io_binding()
        for name, array in inputs.items():
            there = self._ort.OrtValue.ortvalue_from_numpy(array, "cuda", 0)
            binding.bind_ortvalue_input(name, there)
        for output in self._session.get_outputs():
            binding.bind_output(output.name, "cuda", 0)
        self._session.run_with_iobinding(binding, options)
        outputs: list[Array] = binding.copy_outputs_to_cpu()
        return outputs

    def _create(self, contents: Contents, provider: str, threads: int | None, say: Say) -> Any:
        options = _options(self._ort, threads)
        if not self._trusted:
            _bound_memory(self._ort, options)
        available = CUDA in self._ort.get_available_providers()
        if provider == "cpu" or (provider == "auto" and not available):
            return self._made(contents, options, [CPU])
        if not available:
            raise PixelregError(
                "no CUDA: the installed onnxruntime is the one without it; replace it: "
                "python -m pip uninstall onnxruntime, then "
                "python -m pip install 'pixelreg[gpu]'"
            )
        said = _preload(self._ort)
        try:
            session, refusal = self._made(contents, options, [CUDA, CPU]), ""
        except ModelFileError as error:
            session, refusal = self._made(contents, options, [CPU]), str(error)
        # onnxruntime gives a session on the processor without a word where CUDA cannot be had.
        if CUDA in session.get_providers():
            return session
        reason = (
            missing_gpu()
            or refusal
            or said
            or ("CUDA or cuDNN is missing; python -m pip install 'onnxruntime-gpu[cuda,cudnn]'")
        )
        if provider == "cuda":
            raise PixelregError(f"no CUDA: {reason}")
        say(f"running on the processor, without CUDA: {reason}")
        return session

    def _made(self, contents: Contents, options: Any, providers: list[str]) -> Any:
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
            said = str(error)
            reason = _too_new(said, self._ort) or _exceeded(said) or first_line(_plain_words(error))
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


def _plain_words(error: Exception) -> str:
    """What onnxruntime says, without where in its source it says so."""
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
    said = re.sub(r"\S*/\S+\.(cc|h):\d+ [^\n]*?\) (?=[A-Z])", "", said)
    return f"is refused by onnxruntime: {said}"


def _exceeded(said: str) -> str:
    """That a limit was met; empty if something else was said."""
    if "terminate flag" in said:
        return "takes too long, and was stopped; if you trust it, run it with --trust"
    if "Available memory" in said or "bad_alloc" in said or "Failed to allocate memory" in said:
        return (
            f"takes more than {MOST_MEMORY / 2**30:.0f} GB of memory, and was stopped; if you "
            "trust it, run it with --trust, or take smaller pictures"
        )
    return ""


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
    ort.set_default_logger_severity(SILENT)  # it logs what we say ourselves
    printed = io.StringIO()
    if hasattr(ort, "preload_dlls"):
        with redirect_stdout(printed):
            ort.preload_dlls()
    lines = printed.getvalue().splitlines()
    return lines[0].strip() if lines else ""
