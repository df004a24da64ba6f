"""Where the time of one photo goes: reading, finding the face, the change, pasting, writing.

python -m benchmarks.stages photo.jpg [--detector auto]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pixelreg
from pixelreg.evaluation.comparison import format_table
from pixelreg.faces.align import crop
from pixelreg.faces.locate import Locator
from pixelreg.pictures.image import encode, read_file
from pixelreg.translator import PlanTranslator

REPEATS = 9


def main() -> None:
    """Time each stage of `pixelreg apply --model flow` in one process, medians of some runs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--detector", default="auto")
    arguments = parser.parse_args()
    model = pixelreg.load("flow", locator=Locator(arguments.detector))
    assert isinstance(model, PlanTranslator)
    target = model.targets[0]
    times: dict[str, list[float]] = defaultdict(list)

    def timed(stage: str, work: Callable[..., Any], *arguments: Any) -> Any:
        started = time.perf_counter()
        result = work(*arguments)
        times[stage].append(1000 * (time.perf_counter() - started))
        return result

    for _ in range(REPEATS + 1):
        picture = timed("read", read_file, arguments.photo)
        place = timed("find the face", model.place, picture.pixels)[0]
        timed("cut the crop", crop, picture.pixels, place.similarity, model.size)
        prepared = timed("find, cut, change", model.prepare, picture, target)
        made = timed("paste", prepared.at, 1.0)
        timed("write", encode, made)
    rows = [(name, "", f"{statistics.median(each[1:]):.1f}") for name, each in times.items()]
    print(format_table([("stage", "", "ms"), *rows]))


if __name__ == "__main__":
    main()
