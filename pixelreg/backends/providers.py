"""What may run an ONNX file: onnxruntime's providers by short names, their settings and packages.

One text says it everywhere: ``cuda``, or with settings ``cuda:device=1,tf32=on``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pixelreg.errors import UnknownNameError, UsageError

AUTO, CPU = "auto", "CPUExecutionProvider"
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
# What turns a setting's text into onnxruntime's options; a ValueError where it cannot be that.
Setting = Callable[[str], dict[str, str]]


def _number(option: str) -> Setting:
    return lambda text: {option: str(_whole(text))}


def _switch(option: str) -> Setting:
    return lambda text: {option: {"on": "1", "off": "0"}[text]}


def _one_of(option: str, *words: str) -> Setting:
    return lambda text: {option: words[[word.lower() for word in words].index(text)]}


def _text(option: str, **more: str) -> Setting:
    return lambda text: {option: _filled(text), **more}


def _memory(option: str, **more: str) -> Setting:
    return lambda text: {option: str(_bytes(text)), **more}


def _filled(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(text)
    return int(text)


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+)(KB|MB|GB|)", text.upper())
    if not found or not int(found[1]):
        raise ValueError(text)
    return int(found[1]) * UNITS[found[2]]


class Provider(NamedTuple):
    """One of onnxruntime's providers.

    own : onnxruntime's name of it; package : the one that has it.
    settings : what may be set, by our names; fixed : onnxruntime's options unless they are set.
    below : names of those that take the operators that it cannot, before the processor.
    memory : the device, by onnxruntime's name, in whose memory arrays stay between runs; empty
        where onnxruntime carries them.
    plans_memory : whether onnxruntime may lay out a run's memory in advance.
    missing : what is to be supposed where onnxruntime does without it, and says nothing.
    """

    own: str
    package: str
    settings: Mapping[str, Setting] = {}
    fixed: Mapping[str, str] = {}
    below: tuple[str, ...] = ()
    memory: str = ""
    plans_memory: bool = True
    missing: str = "its libraries or its device are missing"

    @property
    def title(self) -> str:
        """What people call it, about."""
        return self.own.removesuffix("ExecutionProvider")


CUDA_SETTINGS = {
    "device": _number("device_id"),
    "tf32": _switch("use_tf32"),
    "search": _one_of("cudnn_conv_algo_search", "DEFAULT", "HEURISTIC", "EXHAUSTIVE"),
    "memory": _memory("gpu_mem_limit", arena_extend_strategy="kSameAsRequested"),
    "graphs": _switch("enable_cuda_graph"),
}
TENSORRT_SETTINGS = {
    "device": _number("device_id"),
    "fp16": _switch("trt_fp16_enable"),
    "memory": _memory("trt_max_workspace_size"),
    "graphs": _switch("trt_cuda_graph_enable"),
    "cache": _text("trt_engine_cache_path", trt_engine_cache_enable="1"),
}
PROVIDERS: Mapping[str, Provider] = {
    # TF32 keeps 10 bits of a float32's 23, and onnxruntime takes it unless it is told not to:
    # results would be apart from the processor's by a thousand times what cards promise. To try
    # every algorithm, which onnxruntime does, costs seconds for each new size of picture.
    "cuda": Provider(
        "CUDAExecutionProvider",
        "onnxruntime-gpu",
        CUDA_SETTINGS,
        {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"},
        memory="cuda",
        missing="CUDA or cuDNN is missing; python -m pip install 'onnxruntime-gpu[cuda,cudnn]'",
    ),
    "cpu": Provider(CPU, "onnxruntime"),
    "tensorrt": Provider(
        "TensorrtExecutionProvider",
        "onnxruntime-gpu",
        TENSORRT_SETTINGS,
        below=("cuda",),
        memory="cuda",
        missing="TensorRT's libraries are missing; python -m pip install tensorrt",
    ),
    "rocm": Provider("ROCMExecutionProvider", "onnxruntime-rocm", {"device": _number("device_id")}),
    "migraphx": Provider(
        "MIGraphXExecutionProvider",
        "onnxruntime-migraphx",
        {"device": _number("device_id"), "fp16": _switch("migraphx_fp16_enable")},
    ),
    "coreml": Provider(
        "CoreMLExecutionProvider",
        "onnxruntime",
        {"units": _one_of("MLComputeUnits", "ALL", "CPUOnly", "CPUAndGPU", "CPUAndNeuralEngine")},
    ),
    "directml": Provider(
        "DmlExecutionProvider",
        "onnxruntime-directml",
        {"device": _number("device_id")},
        plans_memory=False,
    ),
    "openvino": Provider(
        "OpenVINOExecutionProvider",
        "onnxruntime-openvino",
        {"device": _one_of("device_type", "CPU", "GPU", "NPU"), "cache": _text("cache_dir")},
    ),
}
# All of them are one package to Python, so that only one can be installed.
PACKAGES = tuple(dict.fromkeys(provider.package for provider in PROVIDERS.values()))
NAMES = (AUTO, *PROVIDERS)
PREFERRED = "cuda"  # what auto takes where it can be had


class Asked(NamedTuple):
    """What was asked for: a provider, and onnxruntime's options of it.

    name : ours, perhaps ``auto``, whose settings are those of `PREFERRED`.
    """

    name: str
    options: Mapping[str, str]

    @property
    def provider(self) -> Provider:
        """The provider, or the one that is tried first."""
        return PROVIDERS[PREFERRED if self.name == AUTO else self.name]

    def in_order(self) -> list[tuple[str, dict[str, str]]]:
        """Who takes the operators first, with options, as onnxruntime has it."""
        chosen = self.provider
        lower = [PROVIDERS[name] for name in (*chosen.below, "cpu")]
        first = (chosen.own, {**chosen.fixed, **self.options})
        rest = [(each.own, dict(each.fixed)) for each in lower if each is not chosen]
        return [first, *rest]

    def on(self, option: str) -> bool:
        """Whether one of onnxruntime's switches was turned on."""
        return self.options.get(option) == "1"


def asked(text: str) -> Asked:
    """What ``NAME`` or ``NAME:setting=value,...`` asks for."""
    name, _, given = text.partition(":")
    if name not in NAMES:
        raise UnknownNameError("provider", name, NAMES)
    wanted = Asked(name, {})
    options: dict[str, str] = {}
    seen: set[str] = set()
    for part in filter(None, given.split(",")):
        key, _, value = part.partition("=")
        if key in seen:
            raise UsageError(f"--provider {name}: {key} is set twice")
        seen.add(key)
        settings = wanted.provider.settings
        if key not in settings:
            raise UnknownNameError(f"setting of {name}", key, settings)
        try:
            options |= settings[key](value if key == "cache" else value.lower())
        except (KeyError, ValueError):
            raise UsageError(f"--provider {name}: {key} cannot be {value!r}") from None
    return Asked(name, options)
