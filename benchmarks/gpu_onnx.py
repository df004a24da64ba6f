"""The papers' networks in onnxruntime on a card: what runs them, how exact, how fast.

    python -m benchmarks.gpu_onnx --networks networks.zip [--provider cuda] [-o FILE]

`benchmarks/gpu_onnx.sh` carries and installs what it takes. Needs NumPy, the onnxruntime of the
card, this checkout, and the zip of `benchmarks.networks`. Where that onnxruntime cannot be had,
``--torch`` holds PyTorch's CUDA against the processor's onnxruntime instead: that tells how exact
the networks are on the card, and nothing of onnxruntime there.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import store
from deep_onnx.file import Contents, check
from deep_onnx.session import Session
from pixelreg.errors import PixelregError

FLOAT16 = "-fp16.onnx"
BATCHES = (1, 2, 4, 8, 16, 32, 64)
ROUNDS, SLOW = 20, 1.0  # calls of each, and the seconds from which three must do
SECONDS = 420.0  # after which no further network begins
# On the card: how exact are they without TF32, and with it; what does recording the work bring?
WAYS = {"float32": "", "TF32": "tf32=on", "graphs": "graphs=on"}
# What the processor's numbers may differ by without TF32, on values of about -1 to 1.
PARITY = 1e-4
FALLEN = """
import sys
from deep_onnx.file import check
from deep_onnx.session import Session
from pixelreg.errors import PixelregError
content = check(sys.stdin.buffer.read(), "the network")
try:
    session = Session(content, sys.argv[1], say=print)
    print(*session.providers)
except PixelregError as error:
    print(error)
"""


def feeds(contents: Contents, batch: int, size: int) -> dict[str, np.ndarray]:
    """Something of every input's type and shape; whole numbers are labels and places."""
    rng = np.random.default_rng(0)
    made = {}
    for value in contents.inputs:
        shape = [batch, *(size if not isinstance(side, int) else side for side in value.dims[1:])]
        if value.element.startswith("int"):
            array = np.full(shape, size // 2 if len(shape) == 2 else 1)
        else:
            array = rng.uniform(-1, 1, shape)
        made[value.name] = array.astype(value.element)
    return made


def seconds(work: Callable[[], Any]) -> float:
    """The median of some calls, after two that prepare."""
    work()
    started = time.perf_counter()
    work()
    rounds = ROUNDS if time.perf_counter() - started < SLOW else 3
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def measured(
    content: bytes, half: bytes | None, name: str, provider: str, batches: tuple[int, ...]
) -> dict[str, Any]:
    """One network: its providers, differences and times."""
    contents, size = check(content, name), size_of(name)
    one = feeds(contents, 1, size)
    cpu = Session(contents, "cpu", trusted=True)
    truth = cpu.run(one)[0]
    found: dict[str, Any] = {
        "size": size,
        "parameters": contents.parameters,
        "processor, ms a picture": 1e3 * seconds(lambda: cpu.run(one)),
    }
    for way, settings in (WAYS if provider != "cpu" else {"float32": ""}).items():
        chosen = f"{provider}{',' if ':' in provider else ':'}{settings}"
        found[way] = _or_why(_way, contents, chosen, truth, size, batches)
    if half is not None:
        found["float16"] = _or_why(_way, check(half, name), provider, truth, size, batches)
    found["without buffers"] = _or_why(_unbound, content, provider, contents, size, batches)
    return found


def _way(
    contents: Contents, provider: str, truth: np.ndarray, size: int, batches: tuple[int, ...]
) -> dict[str, Any]:
    session = Session(contents, provider, trusted=True)
    made = session.run(feeds(contents, 1, size))[0]
    times = {}
    for batch in batches:
        feed = feeds(contents, batch, size)
        times[str(batch)] = _or_why(
            lambda f=feed, b=batch: 1e3 * seconds(lambda: session.run(f)) / b
        )
    return {
        "providers": list(session.providers),
        "largest difference to the processor": float(np.abs(made - truth).max()),
        "ms a picture, by batch": times,
    }


def _unbound(
    content: bytes, provider: str, contents: Contents, size: int, batches: tuple[int, ...]
) -> dict[str, Any]:
    """The same as onnxruntime does it by itself, with copies of its own for each run."""
    import onnxruntime

    from pixelreg.backends.providers import asked

    made = onnxruntime.InferenceSession(
        content,
        onnxruntime.SessionOptions(),
        providers=asked(provider).in_order(),
        enable_fallback=0,
        read_config_from_model=0,
    )
    given = {batch: feeds(contents, batch, size) for batch in batches}
    return {
        "providers": list(made.get_providers()),
        "ms a picture, by batch": {
            str(batch): _each(lambda f=feed: made.run(None, f), batch)
            for batch, feed in given.items()
        },
    }


def _each(work: Callable[[], Any], batch: int) -> float:
    return 1e3 * seconds(work) / batch


def _or_why(work: Callable[..., Any], *arguments: Any) -> Any:
    """What comes of it, or why nothing does: a card that is full ends no other measurement."""
    try:
        return work(*arguments)
    except Exception as error:  # onnxruntime's errors have no class in common
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def size_of(name: str) -> int:
    """The side of a network's pictures: 128, but for those that are made for 256."""
    return 256 if name.startswith(("pix2pix", "portrait")) else 128


def fallen(content: bytes) -> dict[str, Any]:
    """What is said where no card can be seen."""
    told = {}
    for provider in ("auto", "cuda"):
        done = subprocess.run(
            [sys.executable, "-c", FALLEN, provider],
            input=content,
            capture_output=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            check=False,
        )
        told[provider] = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
    return told


def by_torch(content: bytes, name: str) -> dict[str, Any]:
    """PyTorch on the card against onnxruntime on the processor, for the same weights."""
    import torch

    from benchmarks.networks import module, networks

    network = networks()[name]
    contents = check(content, name)
    one = feeds(contents, 1, network.size)
    truth = Session(contents, "cpu", trusted=True).run(one)[0]
    there = "cuda" if torch.cuda.is_available() else "cpu"
    found: dict[str, Any] = {"device": there}
    model = module(network).to(there)
    given = [torch.from_numpy(array).to(there) for array in one.values()]
    for way, allowed in (("float32", False), ("TF32", True)):
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
        with torch.no_grad():
            made = model(*given).cpu().numpy()
        found[f"largest difference, {way}"] = float(np.abs(made - truth).max())
    return found


def files(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes, bytes | None]]:
    """The networks of a zip, each with its half where there is one."""
    names = archive.namelist()
    for name in names:
        if not name.endswith(FLOAT16):
            stem = name.removesuffix(".onnx")
            half = archive.read(stem + FLOAT16) if stem + FLOAT16 in names else None
            yield stem, archive.read(name), half


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, store; 1 where float32 on the card is not the processor's."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", type=Path, required=True, help="of benchmarks.networks")
    parser.add_argument("--provider", default="cuda")
    parser.add_argument("--batches", type=int, nargs="*", default=list(BATCHES))
    parser.add_argument("--only", nargs="*", help="networks by name; all if none is named")
    parser.add_argument("--torch", action="store_true", help="PyTorch's CUDA, where no other is")
    output = Path("benchmarks/results/gpu_onnx.json")
    parser.add_argument("-o", "--output", type=Path, default=output)
    options = parser.parse_args(arguments)
    started, found, last = time.monotonic(), {}, b""
    with zipfile.ZipFile(io.BytesIO(options.networks.read_bytes())) as archive:
        for name, content, half in files(archive):
            if options.only and name not in options.only:
                continue
            if time.monotonic() - started > SECONDS:
                found[name] = {"float32": "not begun: the time was over"}
                continue
            if options.torch:
                found[name] = by_torch(content, name)
            else:
                batches = tuple(options.batches)
                found[name] = measured(content, half, name, options.provider, batches)
            last = content if not last or len(content) < len(last) else last
            store(options.output, provider=options.provider, networks=found)
            print(name, *(f"\n  {key}: {value}" for key, value in found[name].items()), flush=True)
    told = {} if options.torch else fallen(last)
    store(options.output, provider=options.provider, networks=found, **{"without a card": told})
    print("without a card:", told)
    wrong = [name for name, rows in found.items() if not _exact(rows)]
    print(f"wrote {options.output}; apart by more than {PARITY:g}: {', '.join(wrong) or 'none'}")
    return int(bool(wrong))


def _exact(rows: Mapping[str, Any]) -> bool:
    row = rows.get("float32", rows)
    if not isinstance(row, Mapping):
        return False
    apart = row.get("largest difference to the processor", row.get("largest difference, float32"))
    return apart is not None and apart <= PARITY


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (PixelregError, OSError) as error:
        sys.exit(f"gpu_onnx: {error}")
