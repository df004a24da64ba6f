"""``pixelreg fit --cluster``: the model of one process, whatever happens to the workers."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import Command, digest
from PIL import Image

from pixelreg.data.crops import Cutter
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import pair
from pixelreg.errors import PixelregError
from pixelreg.faces.locate import Locator
from pixelreg.fitting.tally import Step, Tally
from pixelreg.models.sums import PixelSums

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

from pixelreg.fitting import cluster
from pixelreg.fitting.learn import learn, make_parts
from pixelreg.fitting.recipe import Recipe

# Sockets of killed workers are closed when they are collected.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PAIRS = 60
OPTIONS = ("--size", 24, "--no-align")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pairs of noise, one of them unreadable."""
    folder = tmp_path_factory.mktemp("crowd")
    random = np.random.default_rng(2)
    for name in ("neutral", "happy"):
        (folder / name).mkdir()
        for i in range(PAIRS):
            noise = random.integers(0, 256, (30, 30, 3), np.uint8)
            Image.fromarray(noise).resize((300, 300)).save(folder / name / f"p{i:02d}.jpg")
    (folder / "happy" / "p41.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    """A cluster of two processes on this machine."""
    options = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as found:
        yield found


@pytest.mark.parametrize("kind", ["rr", "kr"])
def test_a_cluster_makes_the_model_of_one_process(
    kind: str, crowd: Path, running: Any, tmp_path: Path, command: Command
) -> None:
    options = ("fit", "--data", crowd, "--model", kind, *OPTIONS)
    files = [tmp_path / f"{name}.safetensors" for name in ("plain", "clustered")]
    plain = command(*options, "-o", files[0], "--sums", tmp_path / "plain.sums")
    there = ("--sums", tmp_path / "c.sums", "--cluster", running.scheduler_address)
    clustered = command(*options, "-o", files[1], *there)
    assert (plain.code, clustered.code) == (0, 0), clustered.err
    assert digest(files[0]) == digest(files[1])
    assert digest(tmp_path / "plain.sums") == digest(tmp_path / "c.sums")
    assert plain.out == clustered.out
    assert "p41.jpg" in clustered.err
    sheets = [file.with_name(f"{file.stem}-sheet.png") for file in files]
    np.testing.assert_array_equal(*(np.asarray(Image.open(sheet)) for sheet in sheets))


def test_a_worker_killed_in_the_middle_changes_nothing(
    crowd: Path, running: Any, tmp_path: Path
) -> None:
    pairing = pair(scan(crowd), "neutral", "happy")
    asked = (
        {"happy": pairing},
        {"happy": Recipe("rr", {}, 200)},
        frozenset({pairing.pairs[2].person}),
    )
    cutter = Cutter(200, None, Locator())
    with distributed.Client(running) as client:
        quiet = cluster.ClusterWorkers(client, cutter, PixelSums, task=2)
        expected = learn(*asked, quiet)["happy"].sums
        before = set(client.run(os.getpid).values())
        assert len(before) == 2
        seen = []

        def kill_one(done: int, total: int) -> None:
            if not seen:
                seen.append(done)
                os.kill(next(iter(before)), signal.SIGKILL)

        watched = cluster.ClusterWorkers(client, cutter, PixelSums, task=2)
        watched_rounds = watched._rounds
        watched._rounds = (
            lambda pairs: [  # type: ignore[method-assign]
                part for each in watched_rounds(pairs) for part in (each[:20], each[20:]) if part
            ]
        )
        sums = learn(*asked, watched, progress=kill_one)["happy"].sums
        assert seen
        assert seen[0] < PAIRS
        client.wait_for_workers(2, timeout=30)
        assert set(client.run(os.getpid).values()) != before
    for name in ("x", "xx", "t", "xt"):
        np.testing.assert_array_equal(getattr(sums, name), getattr(expected, name))
    assert sums.count == PAIRS - 1


def test_adding_reports_leaves_them_as_they_were() -> None:
    def report(count: int, problems: tuple[tuple[int, str], ...]) -> cluster.Report:
        arrays = (np.full(12, count, np.int64) for _ in range(4))
        sums = PixelSums(count, *arrays)
        return cluster.Report(Step(count + len(problems), problems, sums), frozenset({"v"}))

    reports = [report(3, ((1, "bad"),)), report(5, ()), report(7, ((0, "worse"), (2, "worst")))]
    total = cluster.add_reports(reports)
    assert isinstance(total.step.content, PixelSums)
    assert total.step.content.count == 15
    assert total.step.content.xt.tolist() == [15] * 12
    assert total.step.problems == ((1, "bad"), (9, "worse"), (11, "worst"))
    assert total.step.pairs == 18
    assert [r.step.content.x[0] for r in reports] == [3, 5, 7]  # type: ignore[union-attr]


def test_rounds_hold_every_pair_once(crowd: Path, running: Any) -> None:
    pairing = pair(scan(crowd), "neutral", "happy")
    parts = make_parts({"happy": pairing}, frozenset())
    with distributed.Client(running) as client:
        workers = cluster.ClusterWorkers(client, Cutter(16, None, Locator()), PixelSums, task=1)
        steps = [(number, step.pairs) for number, step in workers.read(Tally(parts, PixelSums, 16))]
    assert len(steps) > 3
    assert sum(pairs for _, pairs in steps) == PAIRS


def test_workers_that_are_not_alike(crowd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = pair(scan(crowd), "neutral", "happy").pairs
    workers = cluster.ClusterWorkers(None, Cutter(16, None, Locator()), PixelSums)
    here = cluster._versions(workers.cutter)
    sums = cluster.sum_pairs(workers.cutter, PixelSums, pairs[:3])
    workers._check(sums, pairs[:3])
    other = cluster.Report(sums.step, frozenset({here, "pixelreg 0.0.1"}))
    with pytest.raises(PixelregError, match=r"has pixelreg 0\.0\.1, but here it is pixelreg"):
        workers._check(other, pairs[:3])
    blind = cluster.Report(Step(3, ((1, "cannot read p01.jpg"),), None), frozenset({here}))
    with pytest.raises(PixelregError, match=r"can be used here: cannot read p01\.jpg"):
        workers._check(blind, pairs[:3])
    truly_bad = cluster.Report(Step(1, ((0, "no picture"),), None), frozenset({here}))
    workers._check(truly_bad, pairs[41:42])


@pytest.mark.parametrize(
    ("address", "code", "reason"),
    [
        ("tcp://127.0.0.1:9", 1, "no Dask scheduler answers at tcp://127.0.0.1:9"),
        ("gopher://host", 2, "--cluster takes tcp://HOST:PORT or local"),
    ],
)
def test_no_cluster_there(
    address: str,
    code: int,
    reason: str,
    crowd: Path,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "SECONDS", 1)
    out = ("-o", tmp_path / "m.safetensors")
    result = command("fit", "--data", crowd, "--model", "rr", *OPTIONS, "--cluster", address, *out)
    assert result.code == code
    assert reason in result.err.splitlines()[-1]


def test_without_dask(
    crowd: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = command(
        "fit", "--data", crowd, *OPTIONS, "--cluster", "local", "-o", tmp_path / "m.safetensors"
    )
    assert result.code == 1
    assert "pixelreg[cluster]" in result.error


def test_a_cluster_of_its_own(crowd: Path, tmp_path: Path, command: Command) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in ("plain", "local")]
    options = ("fit", "--data", crowd, "--model", "rr", *OPTIONS)
    assert command(*options, "-o", files[0]).code == 0
    result = command(*options, "-o", files[1], "--cluster", "local")
    assert result.code == 0, result.err
    assert digest(files[0]) == digest(files[1])
    assert threading.active_count() < 50
