"""Train the bundled face detector on the London set and write its weights.

    python examples/train_detector.py LONDON_FOLDER --yunet yunet.onnx -o out.safetensors

Needs the extra `align` (for the smiling photos' landmarks) and, for pictures without a face,
scikit-image and scikit-learn. Without --yunet it learns from the neutral photos alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from examples.detector.data import load_portraits
from examples.detector.fit import save_weights
from examples.detector.material import shipped_pictures, smiling_landmarks, train_from


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("london", type=Path, help="the London set's folder")
    parser.add_argument("--yunet", type=Path, help="YuNet file, for the smiling photos' landmarks")
    parser.add_argument("-o", "--output", type=Path, default=Path("detector.safetensors"))
    parser.add_argument("--scenes", type=int, default=25, help="renderings of each photo")
    parser.add_argument("--people", type=int, default=0, help="first people only; 0 for all")
    parser.add_argument("--seed", type=int, default=20)
    run = parser.parse_args(arguments)
    smiling = smiling_landmarks(run.london, run.yunet) if run.yunet else None
    portraits = load_portraits(run.london, smiling)
    if run.people:
        chosen = sorted({portrait.person for portrait in portraits})[: run.people]
        portraits = [portrait for portrait in portraits if portrait.person in chosen]
    pictures = list(shipped_pictures().values())
    weights = train_from(portraits, pictures, run.scenes, run.seed, say)
    size = save_weights(weights, run.output)
    say(f"{run.output}: {size / 1024:.0f} KiB, {len(portraits)} photos")


if __name__ == "__main__":
    main()
