"""libFuzzer, of the package atheris, chooses the inputs of a reader by what they reach."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

SECONDS, MEGABYTES = 5, 4096  # of one input, of the process with all that it imports


def run(kind: str, options: Sequence[str]) -> int:
    """Read what libFuzzer makes until its ``options`` end it; 0 if no input showed a fault.

    What raises one is left in the working folder as ``KIND-fault.SUFFIX``; what hangs, or takes too
    much memory, as libFuzzer names it.
    """
    with tempfile.TemporaryDirectory() as place:
        seeds = Path(place) / "seeds"
        seeds.mkdir()
        # Whole files are made in another process: what they import would not be watched here.
        _status_of(lambda: _make_seeds(kind, seeds))
        return _status_of(lambda: _fuzz(kind, seeds, options))


def _status_of(work: Callable[[], object]) -> int:
    child = os.fork()
    if not child:
        try:
            work()
        except SystemExit:
            os._exit(1)  # libFuzzer has told already
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _make_seeds(kind: str, folder: Path) -> None:
    from benchmarks.hostile.corpus import CORPORA

    for name, content in CORPORA[kind]().items():
        (folder / f"x.{name}").write_bytes(content)


def _fuzz(kind: str, seeds: Path, options: Sequence[str]) -> None:
    import atheris

    from benchmarks.hostile.inside import inside
    from benchmarks.hostile.readers import READERS
    from pixelreg.errors import PixelregError

    wholes = [path.read_bytes() for path in sorted(seeds.iterdir())]
    suffix = min(seeds.iterdir()).name.rpartition(".")[2]
    place = seeds.with_name(f"input.{suffix}")

    def one(content: bytes) -> None:
        place.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                READERS[kind](place)
            except PixelregError:
                return
            except BaseException:
                Path(f"{kind}-fault.{suffix}").write_bytes(content)
                raise

    with atheris.instrument_imports(include=["pixelreg", "deep_onnx"]):
        for whole in wholes:
            one(whole)

    def other(content: bytes, most: int, seed: int) -> bytes:
        """Half of the inputs keep lengths and check sums right, so that what is inside is read."""
        rng = random.Random(seed)
        made = inside(content, wholes, rng) if rng.random() < 0.5 else b""
        return made if 0 < len(made) <= most else atheris.Mutate(content, most)

    usual = [f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}", f"-artifact_prefix={kind}-"]
    usual += ["-len_control=0"]  # what is longer than the seeds is tried from the start
    atheris.Setup([sys.argv[0], str(seeds), *usual, *options], one, custom_mutator=other)
    atheris.Fuzz()
