"""The portraits' experiments (§4.5 and chapter 5), each trained alike and measured alike."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deep_onnx.portrait.folders import MASKS, is_celebamask
from deep_onnx.portrait.labels import COMPONENTS
from deep_onnx.portrait.making import make_portraits
from deep_onnx.portrait.portraits import (
    Batch,
    PortraitExamples,
    batch_of,
    load_portrait_examples,
    portraits_of,
)
from deep_onnx.portrait.training import Portrait, PortraitArguments
from deep_onnx.portrait.windows import Centres, clamp_centres, window_sizes
from deep_onnx.training.data import split
from deep_onnx.training.loop import Run, Schedule, train
from deep_onnx.training.tools import evaluating, to_pixels, to_tensor
from pixelreg.arrays import Float64, Pixels
from pixelreg.evaluation.features import frechet, kernel_distance

FEW = 1e-6  # a feature that spreads less says nothing
LOOKS = 3  # portraits made of every held-out mask
AT_ONCE = 8
STRETCH = 10.0  # a larger ratio says that the rest of the skin has not changed
Progress = Callable[[int, int], Any]


@dataclass(frozen=True, eq=False)
class Experiment:
    """What came of one training.

    kid, spread, fid : of made portraits against true ones, on the baseline's parser's features.
    kept : share of pixels that the baseline's parser finds as the mask wanted them.
    follows : how far the skin around the eyes goes along with another portrait's skin.
    losses : of held-out portraits, by name.
    columns : portraits, masks, and what was made of them.
    """

    name: str
    steps: int
    seconds: float
    parameters: int
    kid: float
    spread: float
    fid: float
    kept: float
    follows: float | None
    losses: Mapping[str, float]
    columns: list[tuple[str, list[Pixels]]]


@dataclass(frozen=True, eq=False)
class Measured:
    """All experiments, and how far learning and held-out portraits are from one another."""

    experiments: list[Experiment]
    floor: tuple[float, float, float]
    learning: int
    held_out: int
    features: int


def measure(
    root: Path,
    scratch: Path,
    variants: Mapping[str, Mapping[str, Any]],
    steps: int,
    seed: int,
    progress: Progress,
    **settings: Any,
) -> Measured:
    """Train every variant for the same steps, the first one being the baseline.

    root : portraits with masks, or photographs that such are made of.
    settings : `PortraitArguments` that all share.
    """
    folder = _with_masks(root, scratch, settings["size"])
    whole = load_portrait_examples(folder, settings["size"]).examples
    learning, held_out = map(portraits_of, split(whole, 0.25, seed))
    judge, found = None, []
    for done, (name, changed) in enumerate(variants.items(), 1):
        arguments = PortraitArguments(seed=seed, **{**settings, **changed})
        started = time.process_time()
        algorithm = _trained(arguments, learning, held_out, scratch, steps)
        seconds = time.process_time() - started
        judge = judge or Judge(algorithm, learning)
        found.append(_measured(name, algorithm, judge, held_out, seconds, steps))
        progress(done, len(variants))
    assert judge is not None
    floor = judge.apart(to_tensor(learning.pictures), to_tensor(held_out.pictures))
    return Measured(found, floor, len(learning.people), len(held_out.people), judge.count)


def _with_masks(root: Path, scratch: Path, size: int) -> Path:
    if (root / MASKS).is_dir() or is_celebamask(root):
        return root
    made = scratch / "portraits"
    make_portraits(root, made, size, neutral_only=True)
    return made


def _trained(
    arguments: PortraitArguments,
    learning: PortraitExamples,
    held_out: PortraitExamples,
    scratch: Path,
    steps: int,
) -> Portrait:
    folder = Path(mkdtemp(prefix="portrait", dir=scratch))
    run = Run(folder, Schedule(steps=steps), "portrait", validate_every=steps, pictures=False)
    trained = train(Portrait, arguments, learning, held_out, run)
    shutil.rmtree(folder)
    if not trained.progress.finished:
        raise KeyboardInterrupt  # the loop heard it, and saved; the table hears it too
    assert isinstance(trained.algorithm, Portrait)
    return trained.algorithm


def _measured(
    name: str,
    algorithm: Portrait,
    judge: Judge,
    held_out: PortraitExamples,
    seconds: float,
    steps: int,
) -> Experiment:
    targets, sources = _unpaired(held_out)
    made = _made(algorithm, sources, targets)
    real = batch_of(held_out.pictures, held_out.masks, held_out.centres)
    distances = judge.apart(made, real.pictures)
    shown = slice(0, LOOKS * 6, LOOKS)
    columns = [
        ("look of", list(to_pixels(sources.pictures[shown]))),
        ("mask of", list(to_pixels(targets.pictures[shown]))),
        ("made", list(to_pixels(made[shown]))),
    ]
    count = sum(each.numel() for each in algorithm.framework.parameters())
    kept = judge.kept(made, targets.masks)
    losses = algorithm.validate(held_out)
    follows = _follows(algorithm, real)
    return Experiment(name, steps, seconds, count, *distances, kept, follows, losses, columns)


def _made(algorithm: Portrait, sources: Batch, targets: Batch) -> Tensor:
    """One's look in the other's mask, (N, 3, S, S)."""
    parts = []
    with evaluating(algorithm.networks.values()):
        for k in range(0, len(sources.pictures), AT_ONCE):
            one, other = (Batch(*(x[k : k + AT_ONCE] for x in it)) for it in (sources, targets))
            parts.append(algorithm.made(one, other))
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
    """A baseline's parser: its labels, and its features, standardised by those learnt from."""

    def __init__(self, baseline: Portrait, learning: PortraitExamples) -> None:
        self.parser = baseline.parser.eval()
        known = self._features(to_tensor(learning.pictures))
        self.mean, spread = known.mean(axis=0), known.std(axis=0)
        self.used = spread > FEW
        self.spread = spread[self.used]

    @property
    def count(self) -> int:
        """How many features there are."""
        return int(self.used.sum())

    def apart(self, made: Tensor, real: Tensor) -> tuple[float, float, float]:
        """KID, its spread, and FID."""
        one, other = (
            (self._features(x) - self.mean)[:, self.used] / self.spread for x in (made, real)
        )
        return *kernel_distance(one, other), frechet(one, other)

    def kept(self, made: Tensor, masks: Tensor) -> float:
        """The share of pixels that are parsed as the masks say."""
        with torch.no_grad():
            parsed = torch.cat([self.parser(part).argmax(1) for part in _parts(made)])
        return float((parsed == masks).float().mean())

    def _features(self, pictures: Tensor) -> Float64:
        """The parser's innermost layer, averaged over its places, (N, C)."""
        rows = []
        with torch.no_grad():
            for part in _parts(pictures):
                values = self.parser.first(part)
                for layer in self.parser.downs:
                    values = layer(values)
                rows.append(functional.adaptive_avg_pool2d(values, 1).flatten(1))
        return torch.cat(rows).double().numpy()


def _parts(pictures: Tensor) -> list[Tensor]:
    return [pictures[k : k + AT_ONCE] for k in range(0, len(pictures), AT_ONCE)]


def window_slices(centres: Centres, size: int) -> tuple[tuple[slice, slice], ...]:
    """Rows and columns of the three windows around ``centres`` (6,), clamped first."""
    clamped = clamp_centres(centres, size).reshape(3, 2).tolist()
    result = []
    for (x, y), (h, w) in zip(clamped, window_sizes(size), strict=True):
        top, left = y - h // 2, x - w // 2
        result.append((slice(top, top + h), slice(left, left + w)))
    return tuple(result)


def _follows(algorithm: Portrait, portraits: Batch) -> float | None:
    """How far the skin around the eyes goes along with another portrait's skin (Fig. 4.13, 4.14).

    The mean change of colour of the skin inside the eyes' windows, over that of all other skin; 1
    is what §4.5.1 wants. The median over the portraits.
    """
    others, ratios = portraits.rolled().rolled(), []
    with evaluating(algorithm.networks.values()):
        for k in range(len(portraits.pictures)):
            one, other = (Batch(*(x[k : k + 1] for x in it)) for it in (portraits, others))
            before, after = (algorithm.with_skin_of(one, it)[0].numpy() for it in (one, other))
            skin = np.isin(one.masks[0].numpy(), COMPONENTS["skin"])
            around = np.zeros_like(skin)
            for place in window_slices(one.centres[0].numpy(), algorithm.arguments.size)[:2]:
                around[place] = True
            change = np.abs(after - before).mean(axis=0)
            rest = float(change[skin & ~around].mean())
            if rest > 0:
                ratios.append(float(change[skin & around].mean()) / rest)
    return min(STRETCH, float(np.median(ratios))) if ratios else None
