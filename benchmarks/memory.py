"""Peak memory and time of `pixelreg fit` against the number of pairs. Linux only: reads /proc.

    python -m benchmarks.memory [--pairs 100 1000 10000] [--model rr] [--size 128]

A few faces are drawn once and linked under as many names as are needed. Memory is resident memory
as the kernel counts it (libraries that processes share count in each): the peak of the process
that was started, of its largest child, and of all of them at one time. What grows is the list of
files; "names" is the peak of a process that makes this list and reads no picture.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import store
from pixelreg.data.synthetic import synthesise
from pixelreg.evaluation.comparison import format_table

PEOPLE = 20  # drawn
DRAWN_SIZE = 256
RESULTS = Path(__file__).parent / "results" / "memory.json"
INTERVAL = 0.02
NAMES = """
import pathlib, sys, time
import pixelreg.fitting.learn
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import pair
listing = scan(pathlib.Path(sys.argv[1]))
pairing = pair(listing, "neutral", "happy")
time.sleep(0.1)
"""


def main() -> None:
    """Fit sets of several sizes, each in a process of its own, and store what they took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--model", nargs="+", choices=["rr", "kr"], default=["rr"])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        drawn = Path(name) / "drawn"
        synthesise(drawn, PEOPLE, ("neutral", "happy"), size=DRAWN_SIZE, seed=0)
        for pairs in arguments.pairs:
            folder = Path(name) / "set"
            link(drawn, folder, pairs)
            for kind in arguments.model:
                rows.append(measure(folder, Path(name) / "out", pairs, kind, arguments.size))
                print(f"{kind}, {pairs} pairs: {rows[-1]['seconds']:.1f} s", file=sys.stderr)
            shutil.rmtree(folder)
    store(arguments.output, drawn_size=DRAWN_SIZE, rows=rows)
    head = (
        "model",
        "",
        "pairs",
        "crops MB",
        "names MB",
        "main MB",
        "child MB",
        "all MB",
        "s",
        "pairs/s",
    )
    cells = [
        (
            row["model"],
            "",
            f"{row['pairs']:,}",
            f"{row['crops_mb']:.0f}",
            f"{row['names_mb']:.0f}",
            f"{row['main_mb']:.0f}",
            f"{row['largest_child_mb']:.0f}",
            f"{row['all_mb']:.0f}",
            f"{row['seconds']:.1f}",
            f"{row['pairs'] / row['seconds']:.0f}",
        )
        for row in rows
    ]
    print(format_table([head, *cells]))


def link(drawn: Path, folder: Path, pairs: int) -> None:
    """A set of ``pairs`` people, whose files are links to those of the drawn ones."""
    people = sorted(path.name for path in (drawn / "KDEF").iterdir())
    for name, code in (("neutral", "NES"), ("happy", "HAS")):
        (folder / name).mkdir(parents=True)
        for number in range(pairs):
            person = people[number % len(people)]
            file = drawn / "KDEF" / person / f"{person}{code}.JPG"
            os.link(file, folder / name / f"p{number:06d}.jpg")


def measure(folder: Path, out: Path, pairs: int, kind: str, size: int) -> dict[str, Any]:
    """Fit one set; peaks in MB (1e6 bytes) and seconds."""
    output = out / f"{kind}.safetensors"
    words = ("fit", "--data", folder, "--model", kind, "--size", size, "--no-align", "-o", output)
    started = time.perf_counter()
    main_pid, watch = run("-m", "pixelreg", *map(str, words))
    seconds = time.perf_counter() - started
    names_pid, names = run("-c", NAMES, str(folder))
    return {
        "model": kind,
        "pairs": pairs,
        "size": size,
        "seconds": seconds,
        "crops_mb": pairs * 2 * size * size * 3 / 1e6,
        "names_mb": names.peaks[names_pid] / 1e6,
        "main_mb": watch.peaks[main_pid] / 1e6,
        "largest_child_mb": max([0, *(watch.peaks[pid] for pid in set(watch.peaks) - {main_pid})])
        / 1e6,
        "all_mb": watch.together / 1e6,
        "processes": len(watch.peaks),
    }


def run(*words: str) -> tuple[int, Watch]:
    """Run Python in a process: its number, and what it took."""
    process = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    watch = Watch(process.pid)
    _, err = process.communicate()
    watch.stop()
    if process.returncode:
        raise SystemExit(err.decode())
    return process.pid, watch


class Watch:
    """Watches the memory of a process and of all below it, from a thread.

    peaks : each process's own peak in bytes, as the kernel keeps it.
    together : the most that all had at one time.
    """

    def __init__(self, pid: int) -> None:
        self.peaks: dict[int, int] = {}
        self.together = 0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """End watching."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL):
            now = 0
            for pid in _family(self._pid):
                with contextlib.suppress(OSError, KeyError):
                    status = _status(pid)
                    now += status["VmRSS"]
                    self.peaks[pid] = max(self.peaks.get(pid, 0), status["VmHWM"])
            self.together = max(self.together, now)


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _status(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = (line.split() for line in lines if line.startswith(("VmRSS", "VmHWM")))
    return {name.rstrip(":"): 1024 * int(number) for name, number, _ in fields}


if __name__ == "__main__":
    main()
