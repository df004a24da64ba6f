"""How pixelreg takes hostile files: whole ones are mutated, and every reader is given them.

    python -m benchmarks.trust --inputs 2000 --seed 1

With ``--inside`` a file is taken apart, something in it changed, and put together again. A reader
may return, or raise an error of ours; anything else is a fault, and so is a crash, more
than `SLOW` seconds and more memory than `bound_of` its kind. Files that show one are kept with
``--keep``. With ``--state FILE`` the counts are kept there, and a run that was stopped goes on from
them. ``--atheris KIND`` lets libFuzzer choose the inputs instead, by what they reach; what follows
is libFuzzer's: ``-max_total_time=60`` (``python -m pip install atheris``).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.hostile import choosing
from benchmarks.hostile.corpus import CORPORA
from benchmarks.hostile.inside import inside
from benchmarks.hostile.mutation import mutated
from benchmarks.hostile.readers import READERS
from pixelreg.errors import PixelregError
from pixelreg.files import write_bytes

RESULTS = Path(__file__).parent / "results" / "TRUST.md"
SLOW, LARGE = 5.0, 500  # seconds of one input; MB that a process of many takes beyond its start
BOUNDS = {"onnx": 2048}  # MB of kinds that may take more: what `deep_onnx.session` allows a model
Damage = Callable[[bytes, Sequence[bytes], random.Random], bytes]
HANG = 30.0
AT_ONCE = 500  # inputs of one process


@dataclass
class Tally:
    """What was seen of one kind of file."""

    inputs: int = 0
    taken: int = 0
    longest: float = 0.0
    megabytes: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.faults = Counter(self.faults)


def bound_of(kind: str) -> int:
    """MB that a process may take, beyond its start, for files of a kind."""
    return BOUNDS.get(kind, LARGE)


def read_one(kind: str, path: Path) -> str:
    """What happened: ``taken``, ``refused``, or the name of a fault."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            READERS[kind](path)
    except PixelregError as error:
        return "refused" if "\n" not in str(error).strip() else "several lines"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
    return "taken"


@dataclass(frozen=True)
class Source:
    """Files by number, made by ``damage`` from whole ones, the same for the same seed."""

    wholes: list[tuple[str, bytes]]
    seed: int
    damage: Damage

    def file(self, number: int) -> tuple[str, bytes]:
        """The name of the whole one, and the bytes."""
        rng = random.Random(f"{self.seed} {number}")
        name, whole = rng.choice(self.wholes)
        return name, self.damage(whole, [content for _, content in self.wholes], rng)


def measure(
    kind: str, inputs: int, seed: int, damage: Damage, keep: Path | None, state: State
) -> Tally:
    """Read many damaged files of a kind, some hundred in a process."""
    tally = state.of(kind)
    if tally.inputs >= inputs:
        return tally
    source = Source(list(CORPORA[kind]().items()), seed, damage)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in source.wholes:
            path = Path(folder) / f"x.{name.rpartition('.')[2]}"
            path.write_bytes(content)
            assert read_one(kind, path) == "taken", f"{kind}: {name} is whole, and not taken"
        while tally.inputs < inputs:
            numbers = range(tally.inputs, min(tally.inputs + AT_ONCE, inputs))
            _chunk(kind, source, numbers, Path(folder), tally, keep)
            state.save()
    return tally


class State:
    """The counts so far, in a file where one is named, of one seed."""

    def __init__(self, path: Path | None, seed: int) -> None:
        held = json.loads(path.read_text()) if path and path.exists() else {"seed": seed}
        assert held["seed"] == seed, f"{path} counts inputs of seed {held['seed']}"
        self._path, self._seed = path, seed
        self._tallies = {kind: Tally(**each) for kind, each in held.get("tallies", {}).items()}

    def of(self, kind: str) -> Tally:
        """The counts of a kind, which may grow."""
        return self._tallies.setdefault(kind, Tally())

    def save(self) -> None:
        """Write the counts, whole or not at all."""
        if self._path is not None:
            tallies = {
                kind: {**vars(tally), "faults": dict(tally.faults)}
                for kind, tally in self._tallies.items()
            }
            content = json.dumps({"seed": self._seed, "tallies": tallies})
            write_bytes(self._path, content.encode())


def _chunk(
    kind: str, source: Source, numbers: range, folder: Path, tally: Tally, keep: Path | None
) -> None:
    """Read some files in a process of their own."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _child(kind, source, numbers, folder, writing)
    os.close(writing)
    done, fault, most = numbers.start, "", bound_of(kind)
    with os.fdopen(reading, "rb") as lines:
        while True:
            if not select.select([lines], [], [], HANG)[0]:
                os.kill(child, signal.SIGKILL)
                fault = f"over {HANG:g} s"
                break
            line = lines.readline()
            if not line:
                break
            what, seconds, megabytes = json.loads(line)
            slow = f"over {SLOW:g} s" if seconds > SLOW else ""
            large = f"over {most} MB" if megabytes > most > tally.megabytes else ""
            tally.taken += what == "taken"
            tally.longest = max(tally.longest, seconds)
            tally.megabytes = max(tally.megabytes, megabytes)
            bad = slow or large or (what if what not in ("taken", "refused") else "")
            if bad:
                _note(bad, source.file(done), kind, done, tally, keep)
            done += 1
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if done < numbers.stop:
        bad = fault or f"the process ended ({status})"
        _note(bad, source.file(done), kind, done, tally, keep)
        done += 1
    tally.inputs += done - numbers.start


def _child(kind: str, source: Source, numbers: range, folder: Path, writing: int) -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    start: float | None = None
    for number in numbers:
        name, content = source.file(number)
        path = folder / f"x.{name.rpartition('.')[2]}"
        path.write_bytes(content)
        began = time.process_time()  # others may be at work on the machine; `HANG` is the clock's
        what = read_one(kind, path)
        seconds = time.process_time() - began
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start = held if start is None else start
        line = json.dumps([what, seconds if number > numbers.start else 0.0, held - start])
        os.write(writing, line.encode() + b"\n")
    os._exit(0)


def _note(
    bad: str,
    file: tuple[str, bytes],
    kind: str,
    number: int,
    tally: Tally,
    keep: Path | None,
) -> None:
    tally.faults[bad] += 1
    if keep is not None and tally.faults[bad] == 1:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{kind}-{number}.{file[0].rpartition('.')[2]}").write_bytes(file[1])
        print(f"{kind} {number}: {bad}", flush=True)


def page(tallies: dict[str, Tally], command: str) -> str:
    """The counts as a table."""
    rows = [
        f"| {kind} | {t.inputs:,} | {t.taken:,} | {sum(t.faults.values())} | {t.longest:.2f} "
        f"| {t.megabytes:.0f} |"
        for kind, t in tallies.items()
    ]
    faults = [
        f"- {kind}: {fault}, {count} times"
        for kind, t in tallies.items()
        for fault, count in t.faults.most_common()
    ]
    total = sum(t.inputs for t in tallies.values())
    return "\n".join(
        [
            "# Hostile files",
            "",
            f"{total:,} mutated files, none stored, made and read by `{command}`. A fault is any "
            f"exception but an error of ours in one line, a crash, over {SLOW:g} s of a processor "
            f"or {HANG:g} s of the clock, or over {LARGE} MB ({BOUNDS['onnx']:,} of an ONNX model) "
            "beyond what the process took at its start.",
            "",
            "| files | inputs | taken as whole | faults | longest, s | most memory, MB |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            *(faults or ["No fault was found."]),
            "",
        ]
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inside", action="store_true", help="keep lengths and check sums right")
    parser.add_argument("--only", choices=list(READERS), action="append")
    parser.add_argument("--keep", type=Path, help="folder for files that show a fault")
    parser.add_argument("--state", type=Path, help="JSON file of the counts so far")
    parser.add_argument("--output", type=Path, help="the page; as benchmarks/results/TRUST.md")
    parser.add_argument("--atheris", choices=list(READERS), metavar="KIND")
    asked, more = parser.parse_known_args()
    if asked.atheris:
        sys.exit(choosing.run(asked.atheris, more))
    tallies, state = {}, State(asked.state, asked.seed)
    damage = inside if asked.inside else mutated
    for kind in asked.only or READERS:
        tallies[kind] = measure(kind, asked.inputs, asked.seed, damage, asked.keep, state)
        t = tallies[kind]
        print(
            f"{kind:13} {t.inputs:7,} inputs, {t.taken:6,} taken, {sum(t.faults.values())} faults, "
            f"longest {t.longest:.2f} s, {t.megabytes:.0f} MB",
            flush=True,
        )
    command = f"python -m benchmarks.trust --inputs {asked.inputs} --seed {asked.seed}"
    command += " --inside" if asked.inside else ""
    if asked.output:
        asked.output.write_text(page(tallies, command), encoding="utf-8")


if __name__ == "__main__":
    main()
