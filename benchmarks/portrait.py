"""The portrait framework and the experiments of §4.5, each trained alike, beside Table 4.1.

    python -m pixelreg data masks ../shared/data/london portraits/
    python -m benchmarks.portrait --data portraits/ --minutes 5 --size 64 --width 8

The paper's table holds FID on 2,048 features of an Inception network and thousands of pictures.
Here are neither the network nor the pictures, so this table holds KID (Bińkowski et al. 2018), an
unbiased estimate that suits few pictures, on other features: the innermost layer of the baseline's
own face parser, averaged over its places, and plain pixels at 16 x 16, both standardised by the
learning portraits. Its numbers cannot be compared
with the paper's; only their order can.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import store
from benchmarks.timing import interleaved
from deep_onnx.export import export_onnx
from deep_onnx.portrait.labels import COMPONENTS
from deep_onnx.portrait.portraits import (
    Batch,
    PortraitExamples,
    batch_of,
    load_portrait_examples,
)
from deep_onnx.portrait.training import Portrait, PortraitArguments
from deep_onnx.portrait.translator import PortraitTarget, open_portrait
from deep_onnx.portrait.windows import clamp_centres, window_sizes
from deep_onnx.training.checkpoint import fingerprint, load, load_networks
from deep_onnx.training.data import split
from deep_onnx.training.loop import Run, Schedule, train
from deep_onnx.training.tools import to_tensor
from pixelreg.arrays import Array, Float64
from pixelreg.evaluation.comparison import format_table

VARIANTS: dict[str, dict[str, str]] = {
    "baseline": {},
    "eye crop tight": {"eye_crop": "tight"},
    "mask encoder multi": {"mask_encoder": "multi"},
    "embedding vae": {"embedding": "vae"},
}
PAPER = {
    "baseline": 26.54,
    "eye crop tight": 26.04,
    "mask encoder multi": 28.48,
    "embedding vae": None,  # its learning stopped (§4.5.3)
}
SETTINGS = ("minutes", "steps", "size", "width", "learning_rate", "global_weight", "gan_weight")
FEW = 1e-6  # a feature that spreads less says nothing
LOOKS = 3  # portraits made of every held-out mask
PIXELS = 16  # side of the pictures that pixels are compared at
DRAWS = 200  # of people, for the spread
TIMED = 15  # runs
STRETCH = 10.0  # a follow ratio that is larger says that the rest of the skin has not changed


def main() -> None:
    """Train what is asked for, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--minutes", type=float, default=5.0, help="each")
    parser.add_argument("--steps", type=int, help="each, instead of minutes")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--global-weight", type=float, default=200.0)
    parser.add_argument("--gan-weight", type=float, default=0.2)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--reuse", action="store_true", help="what lies in --runs, trained before")
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/portrait.json"))
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    examples = load_portrait_examples(arguments.data, arguments.size).examples
    learning, held_out = split(examples, 0.2, 0)
    assert isinstance(learning, PortraitExamples)
    assert isinstance(held_out, PortraitExamples)
    names = ["baseline", *(name for name in arguments.only if name != "baseline")]
    trained = {name: _train(name, arguments, learning, held_out) for name in names}
    baseline = trained["baseline"][0]
    judge = Judge(baseline, learning)
    rows = [_row(name, *made, judge, held_out) for name, made in trained.items()]
    floor = judge.distances(to_tensor(learning.pictures), to_tensor(held_out.pictures))
    result = {
        "table": "KID, not FID: see benchmarks/portrait.py; lower is better",
        "settings": {key: getattr(arguments, key) for key in SETTINGS},
        "training_set": learning.provenance.training_set,
        "portraits": {"learning": len(learning.pictures), "held_out": len(held_out.pictures)},
        "real against real": floor,
        "rows": rows,
        "baseline file": _file(baseline, learning, held_out, arguments.runs),
    }
    store(arguments.output, **result)
    _print(rows, floor)


def polynomial_mmd(one: Float64, other: Float64) -> float:
    """Squared maximum mean discrepancy, unbiased, of the kernel (x.y / d + 1)^3.

    one, other : (M, d) and (N, d).
    """

    def kernel(x: Float64, y: Float64) -> Float64:
        values: Float64 = (x @ y.T / x.shape[1] + 1.0) ** 3
        return values

    def within(x: Float64) -> float:
        values, count = kernel(x, x), len(x)
        return float((values.sum() - np.trace(values)) / (count * (count - 1)))

    return within(one) + within(other) - 2.0 * float(kernel(one, other).mean())


def kid(made: Float64, real: Float64, seed: int = 0) -> tuple[float, float]:
    """`polynomial_mmd`, and its standard deviation over halves of both sets."""
    generator = np.random.default_rng(seed)
    found = [
        polynomial_mmd(*(x[generator.permutation(len(x))[: len(x) // 2]] for x in (made, real)))
        for _ in range(DRAWS)
    ]
    return polynomial_mmd(made, real), float(np.std(found))


def _train(
    name: str, arguments: Any, learning: PortraitExamples, held_out: PortraitExamples
) -> tuple[Portrait, dict[str, Any]]:
    chosen = PortraitArguments(
        size=arguments.size,
        width=arguments.width,
        learning_rate=arguments.learning_rate,
        global_weight=arguments.global_weight,
        gan_weight=arguments.gan_weight,
        **VARIANTS[name],
    )
    schedule = (
        Schedule(steps=arguments.steps) if arguments.steps else Schedule(minutes=arguments.minutes)
    )
    folder = arguments.runs / f"portrait-{name.replace(' ', '-')}"
    run = Run(folder, schedule, "portrait")
    if arguments.reuse:
        return _trained(chosen, learning, held_out, folder)
    for checkpoint in ("last", "best"):
        (folder / f"{checkpoint}.safetensors").unlink(missing_ok=True)
    print(f"training {name}", flush=True)
    train(Portrait, chosen, learning, held_out, run)
    return _trained(chosen, learning, held_out, folder)


def _trained(
    chosen: PortraitArguments,
    learning: PortraitExamples,
    held_out: PortraitExamples,
    folder: Path,
) -> tuple[Portrait, dict[str, Any]]:
    """What a training left: its best networks, and its facts."""
    algorithm = Portrait(chosen, learning)
    mark = fingerprint("portrait", chosen, learning, held_out)
    progress = load(folder / "last.safetensors", algorithm, mark)
    step = load_networks(folder / "best.safetensors", algorithm, mark)
    columns = {
        f"{part} {name}": values
        for part, names in progress.names.items()
        for name, values in zip(names, progress.losses[part].T[1:], strict=True)
    }
    facts = {
        "steps": progress.step,
        "best_step": step,
        "seconds": round(progress.seconds, 1),
        "last_losses": {name: round(float(np.mean(v[-20:])), 5) for name, v in columns.items()},
    }
    return algorithm, facts


def _row(
    name: str,
    algorithm: Portrait,
    facts: dict[str, Any],
    judge: Judge,
    held_out: PortraitExamples,
) -> dict[str, Any]:
    targets, sources = _unpaired(held_out)
    made = _made(algorithm, sources, targets)
    real = batch_of(held_out.pictures, held_out.masks, held_out.centres)
    parsed = torch.cat([judge.parser(made[k : k + 8]) for k in range(0, len(made), 8)])
    return {
        "experiment": name,
        "paper_fid": PAPER[name],
        **judge.distances(made, real.pictures),
        "mask_kept": round(float((parsed.argmax(1) == targets.masks).float().mean()), 4),
        "skin_around_eyes_follows": _follows(algorithm, real),
        **algorithm.validate(held_out),
        **facts,
    }


@torch.no_grad()
def _made(algorithm: Portrait, sources: Batch, targets: Batch) -> Any:
    algorithm.framework.eval()
    parts = []
    for k in range(0, len(sources.pictures), 8):
        one, other = (Batch(*(each[k : k + 8] for each in it)) for it in (sources, targets))
        parts.append(algorithm._made(one, other)[0])
    return torch.cat(parts)


def _unpaired(held_out: PortraitExamples) -> tuple[Batch, Batch]:
    """Every held-out mask several times, each with another person's look."""
    generator, people = np.random.default_rng(0), np.array(held_out.people)
    pairs = [
        (target, int(source))
        for target in range(len(people))
        for source in generator.permutation(np.flatnonzero(people != people[target]))[:LOOKS]
    ]
    targets, sources = (
        batch_of(held_out.pictures[k], held_out.masks[k], held_out.centres[k])
        for k in np.array(pairs).T
    )
    return targets, sources


class Judge:
    """Features of portraits, standardised by the learning ones."""

    def __init__(self, algorithm: Portrait, learning: PortraitExamples) -> None:
        self.parser = algorithm.parser.eval()
        self._known = self._raw(to_tensor(learning.pictures))

    @torch.no_grad()
    def _raw(self, pictures: Any) -> dict[str, Float64]:
        small = torch.nn.functional.adaptive_avg_pool2d(pictures, PIXELS).flatten(1)
        deep = torch.cat([self._innermost(part) for part in pictures.split(8)])
        return {"parser": deep.double().numpy(), "pixels": small.double().numpy()}

    def _innermost(self, pictures: Any) -> Any:
        """(N, 3, S, S) -> (N, C): the parser's innermost layer, averaged over its places."""
        values = self.parser.first(pictures)
        for layer in self.parser.downs:
            values = layer(values)
        return values.mean(dim=(2, 3))

    def distances(self, made: Any, real: Any) -> dict[str, float]:
        """KID of both kinds of features, and its spread."""
        found, raw = {}, (self._raw(made), self._raw(real))
        for name, known in self._known.items():
            spread = known.std(axis=0)
            used = spread > FEW
            features = ((x[name] - known.mean(axis=0))[:, used] / spread[used] for x in raw)
            value, deviation = kid(*features)
            found[f"kid_{name}"] = round(value, 3)
            found[f"kid_{name}_spread"] = round(deviation, 3)
        return found


def window_slices(centres: Array, size: int) -> tuple[tuple[slice, slice], ...]:
    """Rows and columns of the three windows around ``centres`` (6,), clamped first."""
    clamped = clamp_centres(centres, size).reshape(3, 2).tolist()
    result = []
    for (x, y), (h, w) in zip(clamped, window_sizes(size), strict=True):
        top, left = y - h // 2, x - w // 2
        result.append((slice(top, top + h), slice(left, left + w)))
    return tuple(result)


@torch.no_grad()
def _follows(algorithm: Portrait, portraits: Batch) -> float | None:
    """How far the skin around the eyes goes along with another portrait's skin (Fig. 4.13, 4.14).

    The mean change of colour of the skin inside the eyes' windows, over that of all other skin; 1
    is what §4.5.1 wants. The median over the portraits.
    """
    net, others = algorithm.framework.eval(), portraits.rolled().rolled()
    ratios = []
    for k in range(len(portraits.pictures)):
        one, other = (Batch(*(each[k : k + 1] for each in it)) for it in (portraits, others))
        parts = [
            net.local.encode(net.components([it.pictures] * 5, [it.masks] * 5, it.centres))[0]
            for it in (one, other)
        ]
        mixed = [*parts[0][:3], parts[1][3], parts[0][4]]
        before, after = (
            net.compose(each, one.pictures, one.masks, one.centres)[0].numpy()
            for each in (parts[0], mixed)
        )
        skin = np.isin(one.masks[0].numpy(), COMPONENTS["skin"])
        around = np.zeros_like(skin)
        for place in window_slices(one.centres[0].numpy(), algorithm.arguments.size)[:2]:
            around[place] = True
        change = np.abs(after - before).mean(axis=0)
        rest = float(change[skin & ~around].mean())
        if rest > 0:
            ratios.append(float(change[skin & around].mean()) / rest)
    return round(min(STRETCH, float(np.median(ratios))), 3) if ratios else None


def _file(
    algorithm: Portrait, learning: PortraitExamples, held_out: PortraitExamples, runs: Path
) -> dict[str, Any]:
    """Size, parity and latency of the baseline's file."""
    path, facts = runs / "portrait.onnx", {}
    for export in algorithm.exports():
        file = path.with_name(f"{path.stem}{export.suffix}.onnx")
        made = export_onnx(export, file, learning.provenance, {}, held_out.pictures[:3])
        facts[file.name] = {
            "parameters": made.parameters,
            "bytes": made.bytes,
            "parity": made.parity,
        }
    model = open_portrait(path, provider="cpu", threads=1)
    portrait = held_out.pictures[0]
    wish = PortraitTarget(mask=held_out.masks[1], own_mask=held_out.masks[0])
    seconds = interleaved({"edit": lambda: model.run(wish, portrait[None])}, TIMED)["edit"]
    facts["milliseconds_edit_1_thread"] = round(1e3 * seconds, 1)
    return facts


def _print(rows: list[dict[str, Any]], floor: dict[str, float]) -> None:
    columns = ("kid_parser", "kid_pixels", "mask_kept", "skin_around_eyes_follows")
    cells = [("experiment", "paper FID", *columns)]
    for row in rows:
        paper = "-" if row["paper_fid"] is None else f"{row['paper_fid']:.2f}"
        cells.append((row["experiment"], paper, *(str(row[name]) for name in columns)))
    cells.append(("real against real", "", *(str(floor.get(name, "")) for name in columns)))
    print(format_table(cells))


if __name__ == "__main__":
    main()
