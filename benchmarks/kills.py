"""Commands that are killed at random moments: nothing is half-written, and all go on to the end.

    python -m benchmarks.kills --kills 200 --seed 1

Every command first runs unbroken. Then it is begun in a process of its own, killed by SIGKILL at a
random moment of its time, and begun again in the same folder (``--resume`` where it has that),
until it ends. After every kill each file that has its name must be whole; at the end the folder
must hold what the unbroken one holds, byte for byte, and no temporary file. The server is killed
among requests: what it answered must be whole, nothing may lie on the disk, its port must be free.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from PIL import Image

PEOPLE = 30
AT_MOST = 6  # kills of one folder
TIMED = {"report.json", "losses.png"}  # they tell of seconds, or are drawn as time goes by


@dataclass(frozen=True)
class Job:
    """A command: its words for a folder to write into, and how much of all kills it gets."""

    words: Callable[[Path], list[object]]
    share: float
    resumed: str = ""  # the file with which it can go on, where it has one


@dataclass
class Seen:
    """What was seen of a command."""

    kills: int = 0
    ended: int = 0
    resumed: int = 0
    alike: int = 0
    faults: Counter[str] = field(default_factory=Counter)


def jobs(place: Path) -> dict[str, Job]:
    """The commands, on pictures and models that are made first."""
    data = place / "faces"
    small = ("--no-align", "--size", 64, "--expr", "happy", "--model", "rr", "--threads", 1)
    model, sums = place / "m.safetensors", place / "s.sums"
    words = ["data", "synthesise", data, "--people", PEOPLE, "--size", 128, "--seed", 3]
    for each in (words, ["fit", "--data", data, *small, "-o", model, "--sums", sums]):
        assert ended(begun(list(each), place / "made.log")) == 0, (place / "made.log").read_text()
    train = ("--no-align", "--expr", "happy", "--size", 32, "--width", 4, "--device", "cpu")
    train += ("--threads", 1, "--steps", 60, "--validate-every", 20)
    return {
        "fit": Job(
            lambda out: ["fit", "--data", data, *small, "-o", out / "m.safetensors"],
            0.25,
            "m.safetensors.partial",
        ),
        "train": Job(
            lambda out: ["train", "pix2pix", "--data", data, *train, "-o", out / "m.onnx"],
            0.25,
            "m-run/last.safetensors",
        ),
        "merge": Job(
            lambda out: ["merge", sums, "--sums", out / "a.sums", "-o", out / "m.safetensors"], 0.15
        ),
        "export": Job(lambda out: ["export", model, "--to", "c", "-o", out / "c"], 0.1),
        "apply": Job(
            lambda out: ["apply", data, "--model", model, "--no-align", "-o", out / "made"], 0.15
        ),
    }


def begun(words: list[object], log: Path) -> int:
    """A command, in a process that has imported already what takes long: its number."""
    child = os.fork()
    if child:
        return child
    os.setpgid(0, 0)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for number in (1, 2):
        os.dup2(handle, number)
    from pixelreg.commands.main import main

    code = 70
    with contextlib.suppress(BaseException):
        _hurried()
        code = main(list(map(str, words)))
    sys.stdout.flush()
    os._exit(code)


def _hurried() -> None:
    """Checkpoints as often as can be, so that there is something to break."""
    from functools import partial

    import pixelreg.fitting.checkpoint as fits
    import pixelreg.fitting.learn as learning
    from deep_onnx.training import loop

    fits.SECONDS, fits.SHARE, learning.CHUNK, loop.SHARE = 0.0, 0, 4, 0
    loop.Run = partial(loop.Run, checkpoint_seconds=0.0)


def ended(child: int) -> int:
    """How a process ended, once it has."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def half_written(name: str, content: bytes, whole: bytes | None) -> bool:
    """Whether a file that has its name is not all that it should be."""
    if Path(name).name.startswith(".") or content == whole:
        return False  # a temporary file may be half of one
    from safetensors.numpy import load

    try:
        if name.endswith((".safetensors", ".partial", ".sums")):
            load(content)  # a checkpoint, or one of a model that is being trained
        elif name.endswith((".png", ".jpg", ".JPG")):
            Image.open(io.BytesIO(content)).load()
        elif name.endswith(".json"):
            json.loads(content)
        elif name.endswith(".csv"):
            return whole is None or not whole.startswith(content)  # it is a log, and grows
        else:
            return True
    except Exception:
        return True
    return whole is not None and Path(name).name not in TIMED and "-run/" not in name


def alike(name: str, made: bytes, whole: bytes) -> bool:
    """Whether a file holds what the unbroken one does; a checkpoint tells of seconds besides."""
    from safetensors.numpy import load

    if made == whole or Path(name).name in TIMED:
        return bool(made)
    if "-run/" not in name or not name.endswith(".safetensors"):
        return False
    one, other = load(made), load(whole)
    return one.keys() == other.keys() and all(
        one[key].tobytes() == other[key].tobytes() for key in one
    )


def attack(job: Job, kills: int, place: Path, dice: random.Random) -> Seen:
    """Run a command again and again, and kill it so many times."""
    seen, log = Seen(), place / "log"
    lengths = []
    for name in ("first", "whole"):  # the second one shows how long it takes once all is warm
        started = time.monotonic()
        assert ended(begun(job.words(_new(place / name)), log)) == 0, log.read_text()
        lengths.append(time.monotonic() - started)
    length = lengths[-1]
    whole = files(place / "whole")
    number = 0
    while seen.kills < kills:
        number += 1
        out = _new(place / f"try{number}")
        here = 0
        while True:
            more = ["--resume"] if job.resumed and (out / job.resumed).exists() else []
            seen.resumed += bool(more)
            child = begun([*job.words(out), *more], log)
            left = seen.kills < kills and here < AT_MOST
            time.sleep(dice.uniform(0, length) if left else 0)
            if left:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
            code = ended(child)
            if code != -signal.SIGKILL:
                break
            here, seen.kills = here + 1, seen.kills + 1
            for name, content in files(out).items():
                if half_written(name, content, whole.get(name)):
                    seen.faults[f"{name} is half-written"] += 1
        seen.ended += 1
        if code:
            seen.faults[f"ended with {code}: {log.read_text().splitlines()[-1]}"] += 1
            continue
        made = files(out)
        if set(made) != set(whole):
            seen.faults[f"other files: {sorted(set(made) ^ set(whole))[:3]}"] += 1
        unlike = [n for n in whole if not alike(n, made.get(n, b""), whole[n])]
        seen.alike += not unlike
        if unlike:
            seen.faults[f"other bytes: {unlike[:3]}"] += 1
    return seen


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def attack_server(kills: int, model: Path, photo: Path, place: Path, dice: random.Random) -> Seen:
    """Kill a server among requests."""
    seen = Seen()
    content, home = photo.read_bytes(), _new(place / "home")
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home)}
    port, expected = 8750 + os.getpid() % 200, b""
    line = [sys.executable, "-m", "pixelreg", "serve", "--model", model, "--no-align"]
    for _ in range(kills + 1):
        server = subprocess.Popen(
            [*map(str, line), "--port", str(port)],
            cwd=home,
            env=environment | {"PYTHONPATH": str(Path.cwd())},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert server.stderr is not None
        told = server.stderr.readline()
        if "serving" not in told:
            seen.faults[f"did not start: {told.strip()}"] += 1
            break
        address = f"http://127.0.0.1:{port}/api/apply?expression=happy"
        end = time.monotonic() + dice.uniform(0.0, 0.5)
        if not expected:
            expected = _asked(address, content)
        killer = os.fork()
        if not killer:
            time.sleep(max(0.0, end - time.monotonic()))
            os.kill(server.pid, signal.SIGKILL)
            os._exit(0)
        with contextlib.suppress(URLError, OSError, EOFError):
            while True:
                seen.alike += _asked(address, content) == expected
                seen.ended += 1
        ended(killer)
        server.wait()
        server.stderr.close()
        seen.kills += 1
        for name in files(home):
            seen.faults[f"left {name}"] += 1
        if seen.kills == kills:
            break
    if seen.alike != seen.ended:
        seen.faults["other answers"] += seen.ended - seen.alike
    return seen


def _asked(address: str, content: bytes) -> bytes:
    from http.client import HTTPException

    head = {"Content-Type": "image/jpeg"}
    try:
        with urlopen(Request(address, content, head), timeout=20) as answer:
            return bytes(answer.read())
    except HTTPException as error:
        raise EOFError(str(error)) from error  # it was cut, and says so


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="a command; may be repeated")
    asked = parser.parse_args()
    os.environ.update({"SOURCE_DATE_EPOCH": "1700000000", "OMP_NUM_THREADS": "1"})
    import deep_onnx.commands.train
    import deep_onnx.convert
    import deep_onnx.export
    import deep_onnx.training.loop  # noqa: F401  # what takes long to import, once for all

    dice = random.Random(asked.seed)
    print("| command | kills | gone on from a checkpoint | ends | to the same bytes | faults |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        found = jobs(place)
        todo = {name: round(asked.kills * job.share) for name, job in found.items()}
        for name, kills in todo.items():
            if not asked.only or name in asked.only:
                _tell(name, attack(found[name], kills, _new(place / name), dice))
        photo = min((place / "faces").rglob("*.JPG"))
        left = asked.kills - sum(todo.values())
        if asked.only and "serve" not in asked.only:
            return
        _tell("serve", attack_server(left, place / "m.safetensors", photo, place, dice))


def _tell(name: str, seen: Seen) -> None:
    faults = ", ".join(f"{fault} ({n})" for fault, n in seen.faults.items()) or "0"
    counts = (seen.kills, seen.resumed, seen.ended, seen.alike)
    print(f"| {name} | {' | '.join(map(str, counts))} | {faults} |", flush=True)


if __name__ == "__main__":
    main()
