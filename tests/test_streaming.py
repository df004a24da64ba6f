"""Fitting from a stream: sums, checkpoints, files of sums, and models made of them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import ROOT, Command, digest, files_in
from PIL import Image
from safetensors.numpy import load_file, save_file

from pixelreg.data.crops import Cutter, load_stack, read_all, read_photo
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import pair
from pixelreg.errors import DataError, PixelregError
from pixelreg.faces.align import crop, similarity_from_eyes
from pixelreg.faces.landmarks import face_from_eyes, read_landmarks
from pixelreg.faces.locate import Locator
from pixelreg.fitting import sumsfile
from pixelreg.fitting.checkpoint import Checkpoint, fingerprint
from pixelreg.fitting.learn import LocalWorkers, learn, local_workers, make_parts
from pixelreg.fitting.recipe import Recipe
from pixelreg.fitting.tally import Part, Step, Tally
from pixelreg.fitting.workers import pool
from pixelreg.models import store
from pixelreg.models.model import Frame
from pixelreg.models.sums import LevelSums, PixelSums
from pixelreg.pictures.image import read_file, read_reduced
from pixelreg.regression.kernel import PixelKernelRidge
from pixelreg.regression.ridge import PixelRidge

LINKED = 96  # pairs: more than threads read, few enough for a test


@pytest.fixture(scope="module")
def crowd(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces under many names: neutral and happy, 96 pairs, no two quite alike."""
    folder = tmp_path_factory.mktemp("crowd")
    people = sorted(path.name for path in (drawn / "KDEF").iterdir())
    for name, code in (("neutral", "NES"), ("happy", "HAS")):
        (folder / name).mkdir()
        for i in range(LINKED):
            person = people[i % len(people)]
            with Image.open(drawn / "KDEF" / person / f"{person}{code}.JPG") as picture:
                picture.rotate(i % 13).save(folder / name / f"p{i:03d}.jpg", quality=80)
    return folder


@pytest.fixture(scope="module")
def halves(crowd: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The crowd as two folders without a common person."""
    folder = tmp_path_factory.mktemp("halves")
    for path in sorted(crowd.rglob("*.jpg")):
        part = folder / ("one" if int(path.stem[1:]) < 40 else "two") / path.parent.name
        part.mkdir(parents=True, exist_ok=True)
        (part / path.name).symlink_to(path)
    return folder / "one", folder / "two"


OPTIONS = ("--size", 24, "--no-align")


@pytest.mark.parametrize("kind", ["rr", "kr"])
def test_a_stream_gives_what_all_pairs_at_once_give(
    kind: str, crowd: Path, tmp_path: Path, command: Command
) -> None:
    file = tmp_path / "m.safetensors"
    result = command("fit", "--data", crowd, "--model", kind, *OPTIONS, "-o", file)
    assert result.code == 0, result.err
    assert files_in(tmp_path) == {"m.safetensors", "m-sheet.png"}
    listing = scan(crowd)
    stack = load_stack(pair(listing, "neutral", "happy").pairs, 24, None, Locator())
    estimator = {"rr": PixelRidge, "kr": PixelKernelRidge}[kind](backend="numpy")
    plan = estimator.fit(*stack.rows()).to_plan((24, 24, 3))
    stored = load_file(file)
    assert len(stored) == 2
    for name, array in plan.tensors().items():
        np.testing.assert_array_equal(stored[f"happy/{name}"], array)


def test_workers_and_chunks_change_nothing(crowd: Path) -> None:
    pairing = pair(scan(crowd), "neutral", "happy")
    held_out = frozenset(p.person for p in pairing.pairs[:30])
    parts = make_parts({"happy": pairing}, held_out)
    assert [len(part.pairs) for part in parts] == [LINKED - 30, 30]
    recipes = {"happy": Recipe("rr", {}, 24)}
    cutter = Cutter(24, None, Locator())
    results = []
    for count, processes, keep in ((1, False, 0), (8, False, 10**6), (2, True, 40_000)):
        with pool(count, processes) as executor:
            workers = LocalWorkers(cutter, executor, count, keep)
            results.append(learn({"happy": pairing}, recipes, held_out, workers))
    first, *others = results
    for fitted in others:
        for name, array in first["happy"].sums.arrays().items():
            np.testing.assert_array_equal(getattr(fitted["happy"].sums, name), array)
        for one, two in zip(fitted["happy"].scores, first["happy"].scores, strict=True):
            assert (one.psnr, one.ssim, one.mae) == pytest.approx((two.psnr, two.ssim, two.mae))
            assert (one.method, one.count) == (two.method, 30)
        for one, two in zip(fitted["happy"].judged, first["happy"].judged, strict=True):
            np.testing.assert_array_equal(one.made, two.made)
            assert one.person == two.person


def test_bad_pictures_are_left_out_and_named(crowd: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for path in crowd.rglob("*.jpg"):
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        if path.name not in ("p003.jpg", "p090.jpg"):
            (folder / path.parent.name / path.name).symlink_to(path)
    for name in ("neutral", "happy"):
        (folder / name / "p003.jpg").write_bytes(b"no picture")
        Image.new("RGB", (64, 64)).save(folder / name / "p090.jpg")
    pairing = pair(scan(folder), "neutral", "happy")
    held_out = frozenset({pairing.pairs[90].person})
    with local_workers(Cutter(24, None, Locator()), 96) as workers:
        fitted = learn({"happy": pairing}, {"happy": Recipe("rr", {}, 24)}, held_out, workers)
    assert len(fitted["happy"].pairs) == fitted["happy"].sums.count == 94
    assert {problem.path.name for problem in fitted["happy"].problems} == {"p003.jpg", "p090.jpg"}
    assert fitted["happy"].scores == ()


def test_no_usable_pair(tmp_path: Path, command: Command) -> None:
    for name in ("neutral", "happy"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "set" / name / f"{i}.png").write_bytes(b"no picture")
    options = ("--data", tmp_path / "set", "--model", "rr", *OPTIONS)
    result = command("fit", *options, "-o", tmp_path / "m.safetensors")
    assert result.code == 1
    assert "none of the 3 pairs can be used; the first reason" in result.error


SLOW = """
import os, sys, time
import pixelreg.fitting.checkpoint, pixelreg.fitting.learn
from pixelreg.commands.main import main
save = pixelreg.fitting.checkpoint.Checkpoint.save
def save_slowly(self, tally):
    save(self, tally)
    time.sleep(0.05)
if __name__ == "__main__":
    pixelreg.fitting.checkpoint.Checkpoint.save = save_slowly
    pixelreg.fitting.checkpoint.SECONDS = 0
    pixelreg.fitting.learn.CHUNK = 4
    pixelreg.fitting.learn.SMALL = int(os.environ["SMALL"])
    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "small"), [("rr", 0), ("kr", 1000)])
def test_killed_again_and_again(kind: str, small: int, crowd: Path, tmp_path: Path) -> None:
    """SIGKILL at random moments, then --resume: the model of an unbroken run, bit for bit."""
    plain = tmp_path / "plain.safetensors"
    options = ("--data", crowd, "--model", kind, "--size", 32, "--no-align")
    script = tmp_path / "fit.py"
    script.write_text(SLOW)
    out = tmp_path / "out"
    file = out / "m.safetensors"
    partial = out / "m.safetensors.partial"
    line = [sys.executable, str(script), "fit", *map(str, options), "-o", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SMALL": str(small)}
    # In a process of its own: BLAS rounds differently with another number of threads.
    unbroken = [sys.executable, "-m", "pixelreg", *line[2:-1], str(plain)]
    subprocess.run(unbroken, env=environment, check=True, capture_output=True)
    dice = random.Random(7)
    killed = 0
    for attempt in range(12):
        more = ["--resume"] if attempt else []
        process = subprocess.Popen(
            [*line, *more], env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        seen = partial.stat().st_mtime_ns if partial.exists() else 0
        while process.poll() is None and killed < 3:
            if partial.exists() and partial.stat().st_mtime_ns != seen:
                time.sleep(dice.uniform(0, 0.1))
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        _, err = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, err.decode()
        assert not file.exists()
        killed += 1
    assert killed == 3, err.decode()
    assert b"going on from" in err
    assert digest(file) == digest(plain)
    assert files_in(out) == {"m.safetensors", "m-sheet.png"}


def processes_of(session: int) -> list[int]:
    """The live processes of a session, by /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


TORN = """
import os, struct, sys, time
from pathlib import Path

from pixelreg.fitting.workers import pool

BEGUN = Path(sys.argv[1])


def half_a_result():
    writer = sys._getframe(1).f_locals["result_queue"]._writer
    os.write(writer.fileno(), struct.pack("!i", 1000))
    BEGUN.touch()
    time.sleep(600)


if __name__ == "__main__":
    with pool(2, True) as executor:
        executor.submit(half_a_result)
        while not BEGUN.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt
"""


@pytest.mark.skipif(os.name == "nt", reason="pipes of other systems begin otherwise")
def test_a_worker_stopped_within_a_result_stops_the_fit(tmp_path: Path) -> None:
    script = tmp_path / "torn.py"
    script.write_text(TORN)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "begun")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_fit(how: signal.Signals, crowd: Path, tmp_path: Path) -> None:
    script = tmp_path / "fit.py"
    script.write_text(SLOW)
    out = tmp_path / "out" / "m.safetensors"
    words = ("fit", "--data", crowd, "--model", "rr", "--size", 1024, "--no-align", "-o", out)
    process = subprocess.Popen(
        [sys.executable, str(script), *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "SMALL": "0"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not out.with_name(f"{out.name}.partial").exists():
        assert process.poll() is None
        time.sleep(0.01)
    assert len(processes_of(process.pid)) >= 3
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.send_signal(how)
    _, err = process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while processes_of(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(process.pid) == []
    assert "Traceback" not in err
    if how == signal.SIGINT:
        assert process.returncode == 1
        assert err.splitlines()[-1].startswith("pixelreg: error: stopped before the end")
        assert "keeps what was read; go on with --resume" in err
        assert files_in(out.parent) == {"m.safetensors.partial"}


def test_a_checkpoint_of_another_fit(crowd: Path, tmp_path: Path, command: Command) -> None:
    file = tmp_path / "m.safetensors"
    partial = tmp_path / "m.safetensors.partial"
    pairing = pair(scan(crowd), "neutral", "happy")
    parts = make_parts({"happy": pairing}, frozenset())
    Checkpoint(partial, "another").save(Tally(parts, PixelSums, 24))
    options = ("fit", "--data", crowd, "--model", "rr", *OPTIONS, "-o", file)
    result = command(*options, "--resume")
    assert result.code == 1
    assert "checkpoint of a fit with other options or other pictures" in result.error
    assert not file.exists()
    partial.write_bytes(b"no checkpoint")
    assert "m.safetensors.partial" in command(*options, "--resume").error
    # Without --resume it is in nobody's way.
    result = command(*options)
    assert result.code == 0
    assert "ignoring" in result.err
    assert files_in(tmp_path) == {"m.safetensors", "m-sheet.png"}
    result = command(*options, "--resume")
    assert result.code == 0
    assert "no checkpoint: starting anew" in result.err


def test_a_fingerprint_depends_on_what_the_sums_depend_on(crowd: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for path in sorted(crowd.rglob("*.jpg")):
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        (folder / path.parent.name / path.name).write_bytes(path.read_bytes())

    def of(held_out: frozenset[str] = frozenset(), size: int = 24, root: Path = folder) -> str:
        pairing = pair(scan(root), "neutral", "happy")
        return fingerprint(make_parts({"happy": pairing}, held_out), {"size": size}, root)

    first = of()
    assert first == of()
    person = pair(scan(folder), "neutral", "happy").pairs[0].person
    assert len({first, of(frozenset({person})), of(size=25)}) == 3
    moved = folder.rename(tmp_path / "moved")
    assert of(root=moved) == first
    picture = moved / "happy" / "p007.jpg"
    os.utime(picture, ns=(0, 0))
    assert of(root=moved) != first


def test_a_checkpoint_holds_the_tally(tmp_path: Path, crowd: Path) -> None:
    pairing = pair(scan(crowd), "neutral", "happy")
    parts = make_parts({"happy": pairing}, frozenset({pairing.pairs[5].person}))
    cutter = Cutter(16, None, Locator())
    tally = Tally(parts, LevelSums, 16)
    with pool(1, processes=False) as executor:
        for number, step in LocalWorkers(cutter, executor, 1).read(tally):
            tally.add(number, step)
            if tally.done[0] >= 40:
                break
    kept = Checkpoint(tmp_path / "c.partial", "mine", seconds=0)
    kept.save_if_due(tally)
    again = Tally(parts, LevelSums, 16)
    Checkpoint(tmp_path / "c.partial", "mine", resume=True).load(again)
    assert (again.done, again.problems) == (tally.done, tally.problems)
    np.testing.assert_array_equal(again.of(0).sums.inputs, tally.of(0).sums.inputs)
    again.of(0).add(again.of(0).sums)  # what was loaded can be added to
    kept.remove()
    assert files_in(tmp_path) == set()


def test_a_checkpoint_names_any_number_of_bad_pictures(tmp_path: Path, crowd: Path) -> None:
    some = pair(scan(crowd), "neutral", "happy").pairs[:1] * 20_000
    first, again = (Tally([Part("happy", False, some)], PixelSums, 2) for _ in range(2))
    first.add(0, Step(20_000, tuple((place, "x" * 90) for place in range(20_000)), None))
    Checkpoint(tmp_path / "c.partial", "mine").save(first)
    Checkpoint(tmp_path / "c.partial", "mine", resume=True).load(again)
    assert (again.done, again.problems) == ([20_000], first.problems)


@pytest.mark.parametrize("kind", ["rr", "kr"])
def test_merged_sums_make_the_model_of_all(
    kind: str, crowd: Path, halves: tuple[Path, Path], tmp_path: Path, command: Command
) -> None:
    whole = tmp_path / "whole.safetensors"
    assert command("fit", "--data", crowd, "--model", kind, *OPTIONS, "-o", whole).code == 0
    for number, folder in enumerate(halves):
        files = ("--sums", tmp_path / f"{number}.sums", "-o", tmp_path / f"{number}.safetensors")
        result = command("fit", "--data", folder, "--model", kind, *OPTIONS, *files)
        assert result.code == 0, result.err
    parts = (tmp_path / "0.sums", tmp_path / "1.sums")
    merged = tmp_path / "merged.safetensors"
    result = command("merge", *parts, "-o", merged, "--sums", tmp_path / "both.sums", "--json")
    assert result.code == 0, result.err
    assert "warning" not in result.err
    facts = json.loads(result.out)
    assert (facts["people"], facts["pairs"]) == (LINKED, {"happy": LINKED})
    assert digest(merged) == digest(whole)
    # Merged sums can be merged further, in any order, and solved with other parameters.
    again = tmp_path / "again.safetensors"
    assert command("merge", tmp_path / "both.sums", "-o", again).code == 0
    assert digest(again) == digest(whole)
    assert command("merge", *reversed(parts), "-o", again).code == 0
    assert digest(again) == digest(whole)
    other = ("--model", kind, "--lambda", 2)
    assert command("fit", "--data", crowd, *other, *OPTIONS, "-o", whole).code == 0
    assert command("merge", *parts, "--lambda", 2, "-o", again).code == 0
    assert digest(again) == digest(whole) != digest(merged)
    # The same people twice are counted, and told.
    result = command("merge", parts[0], tmp_path / "both.sums", "-o", again)
    assert result.code == 0
    assert "share 40 people" in result.err


def test_sums_of_kr_hold_those_of_rr(crowd: Path, tmp_path: Path, command: Command) -> None:
    files = {}
    for kind in ("rr", "kr"):
        files[kind] = tmp_path / f"{kind}.sums"
        made = ("--sums", files[kind], "-o", tmp_path / f"{kind}.safetensors")
        assert command("fit", "--data", crowd, "--model", kind, *OPTIONS, *made).code == 0
    file = tmp_path / "m.safetensors"
    assert command("merge", files["kr"], "--model", "rr", "-o", file).code == 0
    assert digest(file) == digest(tmp_path / "rr.safetensors")
    result = command("merge", files["rr"], "--model", "kr", "-o", file)
    assert result.code == 2
    assert "not enough for kr" in result.error
    result = command("merge", files["rr"], files["kr"], "-o", file)
    assert result.code == 2
    assert "kinds differ (rr and kr)" in result.error


@pytest.fixture(scope="module")
def sums_file(halves: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sums of Pixel-RR at 24 x 24."""
    from pixelreg.commands.main import main

    folder = tmp_path_factory.mktemp("sums")
    words = ("fit", "--data", halves[0], "--model", "rr", *OPTIONS, "--sums", folder / "a.sums")
    assert main([*map(str, words), "-o", str(folder / "a.safetensors")]) == 0
    return folder / "a.sums"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--size", 32, "--no-align"), "sizes differ (24 and 32)"),
        ((*OPTIONS, "--from", "happy"), "sources differ (neutral and happy)"),
        ((*OPTIONS, "--lambda", 3), "happy has lambda 0.4 in"),
        ((*OPTIONS, "--prior", "identity"), "choose with --prior"),
    ],
)
def test_sums_that_do_not_fit_each_other(
    options: tuple[Any, ...],
    reason: str,
    sums_file: Path,
    halves: tuple[Path, Path],
    tmp_path: Path,
    command: Command,
) -> None:
    more = ("--sums", tmp_path / "b.sums", "-o", tmp_path / "b.safetensors")
    assert command("fit", "--data", halves[1], "--model", "rr", *options, *more).code == 0
    result = command("merge", sums_file, tmp_path / "b.sums", "-o", tmp_path / "m.safetensors")
    assert result.code == 2
    assert reason in result.error
    assert not (tmp_path / "m.safetensors").exists()


def damaged(file: Path, change: Any, out: Path) -> Path:
    """A copy of a file of sums with its tensors and metadata changed."""
    metadata, tensors = store.read(file, sumsfile.FORMAT)
    texts = {"format": "pixelreg-sums", "format_version": "1", **store.as_text(metadata)}
    tensors = {name: array.copy() for name, array in tensors.items()}
    change(tensors, texts)
    save_file(tensors, out, texts)
    return out


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, texts: texts.update(size="25"),
        lambda tensors, texts: texts.update(size='"24"'),
        lambda tensors, texts: texts.update(kind='"kr"'),
        lambda tensors, texts: texts.update(targets="[]"),
        lambda tensors, texts: texts.update(targets='["sad"]'),
        lambda tensors, texts: texts.update(counts='{"happy": 39}'),
        lambda tensors, texts: texts.update(counts='{"happy": 1e99}'),
        lambda tensors, texts: texts.update(counts='{"happy": -1}'),
        lambda tensors, texts: texts.update(settings="3"),
        lambda tensors, texts: texts.update(frame="[1]"),
        lambda tensors, texts: texts.update(provenance='{"pairs": "x"}'),
        lambda tensors, texts: texts.pop("source"),
        lambda tensors, texts: tensors.pop("happy/x"),
        lambda tensors, texts: tensors.pop("people"),
        lambda tensors, texts: tensors.update({"happy/x": tensors["happy/x"].astype(np.int32)}),
        lambda tensors, texts: tensors.update({"happy/x": -tensors["happy/x"]}),
        lambda tensors, texts: tensors.update({"happy/t": tensors["happy/t"] + 255 * 40}),
        lambda tensors, texts: tensors.update(people=tensors["people"][::-1].copy()),
    ],
)
def test_damaged_sums(change: Any, sums_file: Path, tmp_path: Path, command: Command) -> None:
    assert sumsfile.load(damaged(sums_file, lambda *_: None, tmp_path / "good.sums")).size == 24
    bad = damaged(sums_file, change, tmp_path / "bad.sums")
    result = command("merge", bad, "-o", tmp_path / "m.safetensors")
    assert result.code == 1
    assert "bad.sums" in result.error


def test_a_damaged_histogram(halves: tuple[Path, Path], tmp_path: Path, command: Command) -> None:
    made = ("--sums", tmp_path / "a.sums", "-o", tmp_path / "a.safetensors")
    assert command("fit", "--data", halves[0], "--model", "kr", *OPTIONS, *made).code == 0

    def one_more(tensors: dict[str, np.ndarray], texts: dict[str, str]) -> None:
        tensors["happy/inputs"][3, 200] += 1

    def too_bright(tensors: dict[str, np.ndarray], texts: dict[str, str]) -> None:
        tensors["happy/targets"][5] += 256 * tensors["happy/inputs"][5]

    for change in (one_more, too_bright):
        bad = damaged(tmp_path / "a.sums", change, tmp_path / "bad.sums")
        assert (
            "not the sums of 40 pairs"
            in command("merge", bad, "-o", tmp_path / "m.safetensors").error
        )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--model", "mr", "--resume"), "--resume: only for --model rr or kr"),
        (("--model", "rr", "--cv", "--sums", "x.sums"), "--sums: only for"),
        (("--model", "full", "--cluster", "local"), "--cluster: only for"),
        (("--model", "rr", "--sums", "x.bin"), "must end in .sums"),
    ],
)
def test_options_that_do_not_stream(
    options: tuple[str, ...], reason: str, crowd: Path, tmp_path: Path, command: Command
) -> None:
    result = command("fit", "--data", crowd, *options, "-o", tmp_path / "m.safetensors")
    assert result.code == 2
    assert reason in result.error
    assert files_in(tmp_path) == set()


def test_large_jpegs_are_read_at_a_fraction(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    picture = Image.fromarray(noise).resize((960, 800), Image.Resampling.BICUBIC)
    file = tmp_path / "large.jpg"
    for orientation in (1, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture.save(file, quality=95, exif=exif)
        whole = read_file(file).pixels
        for limit, factor in ((0.9, 1), (1.9, 1), (2.0, 2), (3.9, 2), (4, 4), (50, 8)):
            pixels, by = read_reduced(file, lambda width, height, limit=limit: limit)
            assert by == factor
            assert pixels.shape == (whole.shape[0] // by, whole.shape[1] // by, 3)
            means = np.asarray(Image.fromarray(whole).reduce(by)).astype(float)
            assert np.abs(pixels - means).mean() < 2.5
    # A side that is no multiple would shift what is turned.
    picture.resize((962, 801)).save(file)
    assert read_reduced(file, lambda width, height: 8)[1] == 1
    picture.resize((962, 802)).save(file)
    assert read_reduced(file, lambda width, height: 8)[1] == 2
    picture.save(tmp_path / "large.png")
    assert read_reduced(tmp_path / "large.png", lambda width, height: 8)[1] == 1


def test_crops_of_reduced_pictures_are_those_of_whole_ones(london: Path) -> None:
    listing = scan(london)
    photos = [photo for photo in listing.photos if photo.landmarks is not None][:8]
    assert len(photos) == 8
    cutter = Cutter(128, Frame(), Locator())
    gaps = []
    for photo in photos:
        eyes = read_landmarks(photo.landmarks).eyes
        similarity = similarity_from_eyes(eyes, Frame(), 128)
        assert similarity.scale > 5  # so that half of the pixels will do
        made, whole = cutter._face(photo, Frame()), crop(read_photo(photo), similarity, 128)
        assert (made != whole).any()
        gaps.append(np.mean((made.astype(float) - whole) ** 2))
        # Not even a tenth of a pixel apart: moving one crop over the other makes it no better.
        for axis in (0, 1):
            down, up = (
                np.mean((np.roll(made, step, axis).astype(float) - whole)[4:-4, 4:-4] ** 2)
                for step in (1, -1)
            )
            assert abs(down - up) < 0.1 * (down + up)
    assert 10 * np.log10(255**2 / np.mean(gaps)) > 36


def test_a_small_face_in_a_large_picture_is_cut_from_all_of_its_pixels(
    tmp_path: Path, drawn: Path
) -> None:
    with Image.open(drawn / "KDEF" / "AF01" / "AF01NES.JPG") as face:
        picture = Image.new("RGB", (2560, 1920), (90, 120, 150))
        picture.paste(face.convert("RGB").resize((200, 200)), (1200, 800))
    picture.save(tmp_path / "large.jpg", quality=95)
    photo = scan_one(tmp_path)
    searched = []

    class Finder:
        name = "finder"

        def detect(self, image: np.ndarray, largest: bool = False) -> list[Any]:
            searched.append(image.shape[:2])
            by = 2560 / image.shape[1]
            return [face_from_eyes(np.array([1272, 878, 1328, 878]) / by)]

    locator = Locator()
    object.__setattr__(locator, "_made", Finder())
    cutter = Cutter(64, Frame(), locator)
    made = cutter._face(photo, Frame())
    assert searched == [(480, 640), (1920, 2560)]
    eyes = np.array([[1272, 878], [1328, 878]])
    whole = crop(read_photo(photo), similarity_from_eyes(eyes, Frame(), 64), 64)
    np.testing.assert_array_equal(made, whole)
    # Crops that need no more than the small picture are cut from it.
    searched.clear()
    Cutter(16, Frame(), locator)._face(photo, Frame())
    assert searched[0] == (480, 640)


def scan_one(folder: Path) -> Any:
    """The only picture of a folder as a photo."""
    from pixelreg.data.photos import Photo

    (path,) = folder.glob("*.jpg")
    return Photo("one", "neutral", str(path))


def test_a_worker_that_dies_is_told() -> None:
    with pytest.raises(PixelregError, match="a worker process died"), pool(1, True) as executor:
        executor.submit(os._exit, 3).result()


def test_more_pairs_than_sums_can_hold(crowd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixelreg.fitting.learn.MAX_PAIRS", 95)
    pairing = pair(scan(crowd), "neutral", "happy")
    with pytest.raises(DataError, match="more pairs than the 95"):
        make_parts({"happy": pairing}, frozenset())


def test_the_one_loop_keeps_the_order_and_passes_on_what_is_no_error_of_ours() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise DataError("three")
        return item * item

    done = list(read_all(range(7), work, workers=2))
    assert [item for item, _ in done] == list(range(7))
    assert [r for _, r in done if isinstance(r, int)] == [0, 1, 4, 16, 25, 36]
    assert str(done[3][1]) == "three"
    with pytest.raises(ZeroDivisionError):
        list(read_all([1, 0, 2], lambda item: 1 // item, workers=1))
