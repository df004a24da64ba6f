"""`pixelreg serve` on loopback: asked what its description allows and does not, and for long.

    python -m benchmarks.serving --seconds 60 --clients 4 --schemathesis BIN/schemathesis

The server runs in a process of its own, with a small model, on a free port. Schemathesis, where one
is named, makes requests of the server's own OpenAPI description and holds every answer against it.
Then clients ask one after the other's answer for some seconds: how long answers took, and what
memory the server held on the way, as a row of a table.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
from PIL import Image

WORDS = ("expression=happy", "expression=happy&strength=0.5", "expression=sad")
PARTS = 6  # of the time, at the end of each of which memory is looked at
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance"
CHECKS += ",response_schema_conformance,response_headers_conformance"


def pictures() -> list[bytes]:
    """What clients send: pictures of several kinds, and one that is none."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8))
    made = []
    for format in ("JPEG", "PNG", "WEBP"):
        file = io.BytesIO()
        small.resize((640, 480), Image.Resampling.BICUBIC).save(file, format)
        made.append(file.getvalue())
    return [*made, b"none"]


@contextlib.contextmanager
def server(place: Path) -> Iterator[tuple[int, int]]:
    """A server's process and its port."""
    from pixelreg.models import file as modelfile
    from pixelreg.models.model import Model
    from pixelreg.models.plans import AffinePlan

    ones = np.ones((128, 128, 3), np.float32)
    plans = {name: AffinePlan(ones * 0.9, ones * 0.05) for name in ("happy", "sad")}
    modelfile.save(Model(plans), place / "m.safetensors")
    line = [sys.executable, "-m", "pixelreg", "serve", "--no-align", "--port", "0"]
    process = subprocess.Popen(
        [*line, "--model", str(place / "m.safetensors")], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    told = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)", told)
    assert found, told
    threading.Thread(target=process.stderr.read, daemon=True).start()
    try:
        yield process.pid, int(found[1])
    finally:
        process.terminate()
        process.wait(20)


def megabytes(process: int) -> float:
    """Memory that a process holds now."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def ask(
    port: int,
    sent: list[bytes],
    end: float,
    number: int,
    took: list[float],
    seen: Counter[int],
) -> None:
    """Ask again and again, until it is time to end."""
    while time.monotonic() < end:
        number += 1
        started = time.monotonic()
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        words = WORDS[number % len(WORDS)]
        try:
            connection.request("POST", f"/api/apply?{words}", sent[number % len(sent)])
            answer = connection.getresponse()
            answer.read()
            seen[answer.status] += 1
        except OSError:
            seen[0] += 1
        finally:
            connection.close()
        took.append(time.monotonic() - started)


def load(process: int, port: int, seconds: float, clients: int) -> None:
    """Ask for some seconds, and print what came of it."""
    took: list[float] = []
    seen: Counter[int] = Counter()
    held, sent = [megabytes(process)], pictures()
    for _ in range(PARTS):
        end = time.monotonic() + seconds / PARTS
        threads = [
            threading.Thread(target=ask, args=(port, sent, end, number, took, seen))
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        held.append(megabytes(process))
    p50, p99, most = np.percentile(took, [50, 99, 100]) * 1000
    refused = sum(count for status, count in seen.items() if 400 <= status < 500)
    first, half, last = held[1], held[PARTS // 2], held[-1]
    print(
        "| requests | answers | refused | lost | p50, ms | p99, ms | longest, ms "
        "| MB after a sixth, half, all | clients | seconds | load |"
    )
    print("|" + "---|" * 11)
    cells = (f"{p50:.0f}", f"{p99:.0f}", f"{most:.0f}", f"{first:.0f}, {half:.0f}, {last:.0f}")
    cells = (len(took), seen[200], refused, len(took) - seen[200] - refused, *cells)
    print(
        "|",
        *(f"{cell} |" for cell in (*cells, clients, f"{seconds:g}", f"{os.getloadavg()[0]:.1f}")),
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--schemathesis", help="the command, where it is installed")
    parser.add_argument("--examples", type=int, default=200, help="of every operation")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as (process, port):
        if asked.schemathesis:
            line = [asked.schemathesis, "run", f"http://127.0.0.1:{port}/openapi.json"]
            line += [f"--max-examples={asked.examples}", f"--checks={CHECKS}", "--seed=1"]
            done = subprocess.run(line, check=False, cwd=folder)
            print(f"schemathesis ended with {done.returncode}", flush=True)
        load(process, port, asked.seconds, asked.clients)


if __name__ == "__main__":
    main()
