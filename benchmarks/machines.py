"""`pixelreg fit --cluster` on two machines, one of which is lost in the middle.

    sudo python -m benchmarks.machines

Each machine is a network namespace of its own (Linux, as root), with an address of its own: they
reach the scheduler and each other over a bridge alone. In one run the second machine's worker is
killed, in another its cable is pulled, of which nobody is told. The model must be, byte for byte,
that of a fit without a cluster.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

NET = "10.77.0"
HUB, FIRST, SECOND = (f"pixelreg-{name}" for name in ("hub", "first", "second"))
SCHEDULER = f"tcp://{NET}.1:8786"
# How soon a silent machine counts as lost; Dask's own five minutes are long for a test.
PATIENCE = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s"}


def ip(words: str) -> None:
    """Change the network."""
    subprocess.run(["ip", *words.split()], check=True)


@contextlib.contextmanager
def network() -> Iterator[None]:
    """A hub with a bridge, and two machines on it."""
    try:
        for name in (HUB, FIRST, SECOND):
            ip(f"netns add {name}")
            ip(f"-n {name} link set lo up")
        ip(f"-n {HUB} link add bridge type bridge")
        ip(f"-n {HUB} addr add {NET}.1/24 dev bridge")
        ip(f"-n {HUB} link set bridge up")
        for number, name in enumerate((FIRST, SECOND), 2):
            ip(f"-n {HUB} link add port{number} type veth peer name eth0 netns {name}")
            ip(f"-n {HUB} link set port{number} master bridge up")
            ip(f"-n {name} addr add {NET}.{number}/24 dev eth0")
            ip(f"-n {name} link set eth0 up")
        yield
    finally:
        for name in (HUB, FIRST, SECOND):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def on(machine: str, *words: object, log: Path) -> subprocess.Popen[bytes]:
    """A command on a machine; what it says goes to a file."""
    with log.open("wb") as file:
        return subprocess.Popen(
            ["ip", "netns", "exec", machine, sys.executable, "-m", *map(str, words)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **PATIENCE},
        )


@contextlib.contextmanager
def cluster(place: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """A scheduler on the hub, and a worker on each machine."""
    words = ("dask", "worker", SCHEDULER, "--nworkers", 1, "--nthreads", 1, "--no-nanny")
    made = {HUB: on(HUB, "dask", "scheduler", "--no-dashboard", log=place / "hub.log")}
    for name in (FIRST, SECOND):
        made[name] = on(name, *words, "--no-dashboard", log=place / f"{name}.log")
    try:
        _wait(place / "hub.log", "Register worker", 2)
        yield made
    finally:
        for process in made.values():
            process.kill()
            process.wait()


def _wait(log: Path, what: str, times: int) -> None:
    end = time.monotonic() + 120
    while log.read_text().count(what) < times:
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


def fit(place: Path, data: Path, name: str, clustered: bool, log: Path) -> subprocess.Popen[bytes]:
    """A fit on the hub."""
    words = ("--data", data, "--expr", "happy", "--model", "rr", "--size", 64, "--no-align")
    more = ("--cluster", SCHEDULER) if clustered else ("--threads", 1)
    return on(HUB, "pixelreg", "fit", *words, "-o", place / name, *more, log=log)


def lose(how: str, place: Path, data: Path, seconds: float) -> None:
    """Fit on a cluster, and lose the second machine in the middle of it."""
    with cluster(place) as machines:
        started = time.monotonic()
        running = fit(place, data, f"{how}.safetensors", True, place / "fit.log")
        time.sleep(seconds)
        assert running.poll() is None, "it ended before a machine could be lost"
        if how == "killed":
            machines[SECOND].kill()
        else:
            ip(f"-n {HUB} link set port3 down")
        code = running.wait(600)
        assert code == 0, (place / "fit.log").read_text()
        took = time.monotonic() - started
        told = (place / "hub.log").read_text()
    lost = len(re.findall(r"Remove worker|Worker failed to heartbeat|Lost connection", told))
    same = (place / "whole.safetensors").read_bytes() == (place / f"{how}.safetensors").read_bytes()
    print(f"{how} after {seconds:.1f} s: ended after {took:.1f} s, the scheduler told of", end=" ")
    print(f"{lost} losses; the model is {'the same, byte for byte' if same else 'ANOTHER'}")
    assert same
    assert lost


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=198)
    asked = parser.parse_args()
    os.environ.update({"SOURCE_DATE_EPOCH": "1700000000", "OMP_NUM_THREADS": "1"})
    with tempfile.TemporaryDirectory() as folder, network():
        place, log = Path(folder), Path(folder) / "fit.log"
        data = place / "faces"
        words = ("data", "synthesise", data, "--people", asked.people, "--size", 256)
        assert on(HUB, "pixelreg", *words, log=log).wait() == 0, log.read_text()
        assert fit(place, data, "whole.safetensors", False, log).wait() == 0, log.read_text()
        with cluster(place):
            started = time.monotonic()
            assert fit(place, data, "u.safetensors", True, log).wait() == 0, log.read_text()
            took = time.monotonic() - started
        print(f"unbroken on two machines: {took:.1f} s")
        for how in ("killed", "unplugged"):
            lose(how, place, data, took * 0.6)


if __name__ == "__main__":
    main()
