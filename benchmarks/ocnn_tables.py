"""Tables 2-4 of the OCNN paper, measured: a GAN, a wide CNN, and the small two-head network.

    pixelreg train stargan --data LONDON --expr happy --size 64 --width 16 --minutes 10 -o gan.onnx
    pixelreg train ocnn --data LONDON --size 64 --width 64 --minutes 10 -o cnn.onnx
    pixelreg train ocnn --data LONDON --size 64 --minutes 10 -o ocnn.onnx
    python -m benchmarks.ocnn_tables --data LONDON --gan gan.onnx --cnn cnn.onnx --ocnn ocnn.onnx

**Time** (table 3) is that of networks with random weights at 1280 x 720 in onnxruntime on two
threads, one after the other in every round: StarGAN at its full width, the two-head network at the
full picture and width 64 ("CNN"), and OCNN's defaults. No weights, and so no optimiser of weights,
can change these figures.

**Accuracy and error** (table 2): "the error value is calculated based on the target and obtained
image" is all that the paper says, and its columns do not add up to 100 %. Here the error is the
mean absolute difference on [0, 1], and the accuracy 100 (1 - error) %. Most of a face does not
change: the untouched input, which stands beside, is hard to beat in all columns but the one that
matters, whether a person smiles. So a classifier is asked too: logistic regression on grey 32 x 32
lower halves of real pictures of the learning people; the share of pictures in which it sees the
target.

**PSNR** (table 4) in dB, mean over pictures. Judged are the people that ``--holdout`` and
``--seed`` of the training held out, at the size that a model was trained on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import store
from benchmarks.timing import interleaved
from deep_onnx.translator import load
from pixelreg.evaluation.comparison import format_table
from pixelreg.evaluation.metrics import psnr, ssim

HEIGHT, WIDTH = 720, 1280
COMPONENTS = 6
PAPER = {
    "GAN": {"accuracy": 92.5, "error": 0.15, "ms": 954, "psnr": 20.2},
    "CNN": {"accuracy": 91.2, "error": 0.13, "ms": 1256, "psnr": 19.5},
    "OCNN": {"accuracy": 95.3, "error": 0.05, "ms": 506, "psnr": 23.71},
}
UNTOUCHED = "untouched input"


def networks() -> dict[str, Any]:
    """Exports with random weights: what is timed."""
    import torch

    from deep_onnx.architectures.ocnn import OCNNArguments
    from deep_onnx.architectures.stargan import MULTIPLE
    from deep_onnx.architectures.stargan import Generator as StarGAN
    from deep_onnx.architectures.two_head import Generator
    from deep_onnx.card import Card
    from deep_onnx.training.algorithm import Export

    def export(module: Any, entries: int, multiple: int) -> Export:
        names = tuple(f"K{k}" for k in range(entries))
        card = Card(
            "timed",
            targets={"there": (0.0,) * entries},
            condition=names,
            condition_range=(-1.0, 1.0),
            condition_input="condition",
            dynamic=True,
            multiple=multiple,
        )
        inputs = {"image": torch.zeros(2, 3, 64, 64), "condition": torch.zeros(2, entries)}
        return Export(module.eval(), card, inputs)

    torch.manual_seed(0)
    chosen = OCNNArguments()
    cnn = Generator(COMPONENTS, 64, chosen.blocks, scale=1)
    ocnn = Generator(COMPONENTS, chosen.width, chosen.blocks, chosen.scale)
    return {
        "GAN": export(StarGAN(5), 5, MULTIPLE),
        "CNN": export(cnn, COMPONENTS, cnn.multiple),
        "OCNN": export(ocnn, COMPONENTS, ocnn.multiple),
    }


def times(rounds: int, threads: int, provider: str) -> dict[str, dict[str, float]]:
    """Median milliseconds at 1280 x 720, and learnt numbers."""
    from deep_onnx.export import trace
    from deep_onnx.file import check
    from deep_onnx.session import Session

    rng = np.random.default_rng(0)
    works: dict[str, Callable[[], Any]] = {}
    rows: dict[str, dict[str, float]] = {}
    for name, export in networks().items():
        content = trace(export).SerializeToString()
        session = Session(check(content, name), provider, threads, trusted=True)
        multiple = export.card.multiple
        assert HEIGHT % multiple == WIDTH % multiple == 0
        feed = {
            "image": rng.random((1, 3, HEIGHT, WIDTH), np.float32) * 2 - 1,
            "condition": np.zeros((1, len(export.card.condition)), np.float32),
        }
        works[name] = lambda session=session, feed=feed: session.run(feed)
        rows[name] = {"parameters": sum(p.numel() for p in export.module.parameters())}
    for name, seconds in interleaved(works, rounds).items():
        rows[name]["ms"] = round(1000 * seconds, 1)
    return rows


class Smiles:
    """Tells a target from the source by the lower half of the face."""

    def __init__(self, sources: np.ndarray, targets: np.ndarray) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        both = np.concatenate([sources, sources[:, :, ::-1], targets, targets[:, :, ::-1]])
        truth = np.repeat([0, 1], 2 * len(sources))
        self.model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        self.model.fit(self.features(both), truth)

    def share(self, pictures: np.ndarray) -> float:
        """How many show the target, in %."""
        return round(100 * float(self.model.predict(self.features(pictures)).mean()), 1)

    @staticmethod
    def features(pictures: np.ndarray) -> np.ndarray:
        """(N, S, S, 3) uint8 -> (N, 512)."""
        from PIL import Image

        small = [Image.fromarray(one).convert("L").resize((32, 32)) for one in pictures]
        return np.stack([np.asarray(one, float)[16:].reshape(-1) for one in small])


def scores(made: np.ndarray, truth: np.ndarray, smiles: Smiles) -> dict[str, float]:
    """Tables 2 and 4 of some pictures, (N, S, S, 3) uint8."""
    error = float(np.abs(made.astype(float) - truth).mean() / 255)
    return {
        "accuracy": round(100 * (1 - error), 2),
        "error": round(error, 4),
        "shows target": smiles.share(made),
        "psnr": round(float(np.mean(psnr(made, truth))), 2),
        "ssim": round(float(np.mean(ssim(made, truth))), 4),
    }


def quality(
    data: Path,
    target: str,
    models: dict[str, Path],
    holdout: float,
    seed: int,
    provider: str,
) -> dict[str, Any]:
    """Scores of models on people that they have not seen, and of the untouched input."""
    from deep_onnx.training.data import choose, load_examples, split
    from pixelreg.data.layouts import scan
    from pixelreg.faces.locate import Locator

    listing = scan(data)
    found: dict[str, Any] = {}
    judged: dict[int, Any] = {}
    for name, path in models.items():
        translator: Any = load(path, provider=provider, threads=2)
        size = translator.size
        if size not in judged:
            choice = choose("ocnn", listing, None, (target,))
            loaded = load_examples(listing, choice, size, Locator())
            learnt, held_out = split(loaded.examples, holdout, seed)
            known, stack = learnt.stacks[target], held_out.stacks[target]
            judged[size] = stack, Smiles(known.sources, known.targets)
        stack, smiles = judged[size]
        made = np.concatenate([translator.run(target, one[None]) for one in stack.sources])
        notes = translator.card.notes
        found[name] = {
            "size": size,
            "people": len(stack.sources),
            "untouched": scores(stack.sources, stack.targets, smiles),
            "truth shows target": smiles.share(stack.targets),
            "steps": notes.get("steps"),
            "settings": notes.get("settings"),
            **scores(made, stack.targets, smiles),
        }
    return found


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Ours beside the paper's."""
    heads = ("accuracy %", "error", "shows it %", "PSNR dB", "ms at 720p", "parameters")
    keys = ("accuracy", "error", "shows target", "psnr", "ms", "parameters")
    cells = [("", "", *heads)]
    for name, paper in PAPER.items():
        ours = rows[name]
        cells.append((name, "ours", *(_cell(ours.get(key)) for key in keys)))
        cells.append(("", "paper", *(_cell(paper.get(key)) for key in keys)))
        if "untouched" in ours:
            left = ours["untouched"]
            cells.append(("", UNTOUCHED, *(_cell(left.get(key)) for key in keys)))
    return format_table(cells)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:,}"


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="pictures to judge trained models on")
    parser.add_argument("--target", default="happy")
    for name in PAPER:
        parser.add_argument(f"--{name.lower()}", type=Path, help=f"a trained {name}, .onnx")
    parser.add_argument("--holdout", type=float, default=0.2, help="as the models were trained")
    parser.add_argument("--seed", type=int, default=0, help="as the models were trained")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--provider", default="cpu", help="what runs the networks")
    path = Path("benchmarks/results/ocnn_tables.json")
    parser.add_argument("-o", "--output", type=Path, default=path)
    options = parser.parse_args()
    given = {name: getattr(options, name.lower()) for name in PAPER}
    models = {name: path for name, path in given.items() if path is not None}
    if models and options.data is None:
        parser.error("trained models need --data to be judged on")
    rows: dict[str, dict[str, Any]] = dict(times(options.rounds, options.threads, options.provider))
    if models:
        judged = quality(
            options.data, options.target, models, options.holdout, options.seed, options.provider
        )
        for name, found in judged.items():
            rows[name] |= found
    print(table(rows))
    store(
        options.output, threads=options.threads, provider=options.provider, paper=PAPER, rows=rows
    )
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
