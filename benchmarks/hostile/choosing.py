"""libFuzzer, of the package atheris, chooses the inputs of a reader by what they reach."""

from __future__ import annotations

import os
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

    from benchmarks.hostile.readers import READERS
    from pixelreg.errors import PixelregError

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
        for whole in sorted(seeds.iterdir()):
            one(whole.read_bytes())
    usual = [f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}", f"-artifact_prefix={kind}-"]
    atheris.Setup([sys.argv[0], str(seeds), *usual, *options], one)
    atheris.Fuzz()
