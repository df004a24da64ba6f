"""Many pictures: which file becomes which, a few at a time, and going on past a bad one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command, files_in, interrupted, pixels
from PIL import Image

from pixelreg.commands.jobs import Job, plan_jobs, run_jobs
from pixelreg.errors import FaceError, ImageError, UsageError


def touch(folder: Path, *names: str) -> list[Path]:
    """Empty files; which goes where is decided by their names alone."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def planned(
    inputs: list[Path], output: str | Path | None = None, label: str = "happy"
) -> dict[Path, Path]:
    jobs = plan_jobs(inputs, None if output is None else str(output), label)
    assert all(job.folder == job.output.parent or job.folder in job.output.parents for job in jobs)
    return {job.input: job.output for job in jobs}


# ---------------------------------------------------------------- where pictures go


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a.png", "a-happy.png"),
        ("b.JPG", "b-happy.JPG"),
        ("two.dots.webp", "two.dots-happy.webp"),
        ("a.jfif", "a-happy.jpg"),  # a JPEG stays one, under a name that can be written
        ("a.jpe", "a-happy.jpg"),
        ("a.xyz", "a-happy.png"),
        ("none", "none-happy.png"),
    ],
)
def test_one_picture_goes_beside_itself(name: str, made: str, tmp_path: Path) -> None:
    touch(tmp_path, name)
    assert planned([tmp_path / name]) == {tmp_path / name: tmp_path / made}


def test_one_picture_goes_where_it_is_told(tmp_path: Path, monkeypatch) -> None:
    (file,) = touch(tmp_path, "a.png")
    (tmp_path / "there").mkdir()
    assert planned([file], tmp_path / "b.jpg") == {file: tmp_path / "b.jpg"}
    assert planned([file], tmp_path / "new" / "b") == {file: tmp_path / "new" / "b"}
    assert planned([file], tmp_path / "there") == {file: tmp_path / "there" / "a.png"}
    assert planned([file], f"{tmp_path}/new/") == {file: tmp_path / "new" / "a.png"}
    assert planned([file], file) == {file: file}  # in place
    monkeypatch.chdir(tmp_path)
    assert planned([Path("a.png")], "b.png") == {Path("a.png"): Path("b.png")}


def test_several_pictures_need_a_folder(tmp_path: Path) -> None:
    one, two = touch(tmp_path, "a.png", "deep/b.jpg")
    assert planned([one, two]) == {
        one: tmp_path / "a-happy.png",
        two: tmp_path / "deep" / "b-happy.jpg",
    }
    out = tmp_path / "out"
    assert planned([one, two], out) == {one: out / "a.png", two: out / "b.jpg"}
    (blocked,) = touch(tmp_path, "c.png")
    with pytest.raises(UsageError, match="is a file; several pictures need a folder"):
        planned([one, two], blocked)


ALBUM = ("one.png", "deep/one.png", "deep/er/two.JPG", "deep/three.jfif")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    touch(folder, *ALBUM, "notes.txt", ".hidden.png", ".hidden/a.png", "._one.png", "model.tem")
    return folder


def test_a_folder_keeps_its_sub_folders(album: Path, tmp_path: Path) -> None:
    made = {"deep/three.jfif": "deep/three.jpg"}
    for output, folder in ((None, tmp_path / "album-happy"), (tmp_path / "x", tmp_path / "x")):
        jobs = plan_jobs([album], None if output is None else str(output), "happy")
        assert {job.input: job.output for job in jobs} == {
            album / name: folder / made.get(name, name) for name in ALBUM
        }
        assert {job.folder for job in jobs} == {folder}
        assert [job.input for job in jobs] == sorted(job.input for job in jobs)


@pytest.mark.parametrize("here", [".", "..", "../deep/.."])
def test_a_folder_without_a_name_of_its_own(here: str, album: Path, monkeypatch) -> None:
    monkeypatch.chdir(album if here == "." else album / "deep")
    jobs = plan_jobs([Path(here)], None, "happy")
    assert len(jobs) == len(ALBUM)
    assert {job.folder for job in jobs} == {album.with_name("album-happy")}


def test_earlier_output_inside_the_folder_is_left_out(album: Path) -> None:
    expected = {album / "one.png", album / "deep/one.png", album / "deep/er/two.JPG"}
    expected.add(album / "deep/three.jfif")
    for out in (album / "made", album / "deep" / "made"):
        touch(out, "one.png", "deep/one.png")
        assert set(planned([album], out)) == expected
        for path in (out / "one.png", out / "deep/one.png"):
            path.unlink()


def test_output_into_the_folder_itself_or_around_it(album: Path, tmp_path: Path) -> None:
    (album / "deep" / "three.jfif").unlink()
    assert planned([album], album) == {album / n: album / n for n in ALBUM[:3]}
    assert planned([album], tmp_path) == {album / n: tmp_path / n for n in ALBUM[:3]}
    touch(tmp_path, "album-happy/one.png")  # beside it, not in it
    assert set(planned([album])) == {album / n for n in ALBUM[:3]}


def test_folders_that_cannot_be(album: Path, tmp_path: Path) -> None:
    (blocked,) = touch(tmp_path, "file")
    with pytest.raises(UsageError, match="is a file; a folder of pictures needs a folder"):
        planned([album], blocked)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="empty holds no picture"):
        planned([tmp_path / "empty"])
    with pytest.raises(UsageError, match=r"no such file or folder: .*nosuch"):
        planned([album, tmp_path / "nosuch"])


def test_two_pictures_never_become_one(album: Path, tmp_path: Path) -> None:
    for names in (("x/a.png", "y/a.png"), ("a.jfif", "a.jpg")):
        first, second = touch(tmp_path, *names)
        with pytest.raises(UsageError, match="would both become") as caught:
            planned([first, second], tmp_path / "out")
        assert str(first) in str(caught.value)
        assert str(second) in str(caught.value)
    with pytest.raises(UsageError, match="would both become"):
        planned([tmp_path / "x/a.png", tmp_path / "x/a.png"])
    with pytest.raises(UsageError, match="would both become"):
        planned([album, album / "one.png"], tmp_path / "out")
    touch(tmp_path, "p.jpg", "p.jfif")
    with pytest.raises(UsageError, match="would both become"):
        planned([tmp_path / "p.jpg", tmp_path / "p.jfif"])


def test_a_picture_never_replaces_one_that_is_still_to_be_read(tmp_path: Path) -> None:
    """As when a command is given again: apply *.png."""
    files = touch(tmp_path, "a.png", "a-happy.png")
    for order in (files, files[::-1]):
        with pytest.raises(UsageError, match="which is to be changed as well"):
            planned(order)
    assert len(planned(files, tmp_path / "out")) == 2


# ---------------------------------------------------------------- doing it


def jobs_of(count: int) -> list[Job]:
    return [Job(Path(f"in{k}.png"), Path(f"out{k}.png"), Path()) for k in range(count)]


class Counted(list):
    """A list of jobs that counts how many were taken from it."""

    taken = 0

    def __iter__(self) -> Iterator[Job]:
        for job in super().__iter__():
            self.taken += 1
            yield job


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_only_a_few_jobs_are_under_way(workers: int) -> None:
    jobs = Counted(jobs_of(60))
    lock, running, most_running, waiting = threading.Lock(), 0, 0, []
    done = 0

    def work(job: Job) -> None:
        nonlocal running, most_running
        with lock:
            running += 1
            most_running = max(most_running, running)
            waiting.append(jobs.taken - done)
        time.sleep(0.002)
        with lock:
            running -= 1

    def progress(count: int, total: int) -> None:
        nonlocal done
        assert (count, total) == (done + 1, 60)
        done = count

    assert run_jobs(jobs, work, progress, workers) == []
    assert done == jobs.taken == 60
    assert most_running <= workers
    assert max(waiting) <= 2 * workers + 1


def test_workers_work_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=20)
    assert run_jobs(jobs_of(6), lambda job: together.wait() * 0, lambda *_: None, 3) == []


def test_failures_come_in_order_with_their_reasons() -> None:
    jobs = jobs_of(20)
    bad = {3: FaceError("no face"), 4: ImageError("damaged"), 17: UsageError("wrong")}
    seen = []

    def work(job: Job) -> None:
        index = jobs.index(job)
        time.sleep(0.02 if index == 3 else 0)  # ends after those that come later
        if index in bad:
            raise bad[index]
        seen.append(index)

    counts = []
    failed = run_jobs(jobs, work, lambda done, total: counts.append(done), 4)
    assert failed == [(jobs[3], "no face"), (jobs[4], "damaged"), (jobs[17], "wrong")]
    assert sorted(seen) == sorted(set(range(20)) - set(bad))
    assert counts == list(range(1, 21))


def test_nothing_to_do() -> None:
    assert run_jobs([], lambda job: pytest.fail("worked"), lambda *_: None) == []


def test_a_defect_is_not_hidden_among_the_failures() -> None:
    def work(job: Job) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_jobs(jobs_of(100), work, lambda *_: None, 2)


def test_an_interrupt_ends_what_is_under_way_and_starts_nothing_else() -> None:
    jobs, started = jobs_of(500), []

    def work(job: Job) -> None:
        started.append(job)
        time.sleep(0.05 if job is jobs[0] else 0.5)

    def progress(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, work, progress, 4)
    assert time.monotonic() - before < 5  # all of them would take a minute
    # The first has ended, four others were under way, three more were waiting.
    assert started == jobs[:5]
    time.sleep(0.1)
    assert len(started) == 5


def test_an_interrupt_on_the_command_line(face: np.ndarray, model: Path, tmp_path: Path) -> None:
    picture = tmp_path / "large.png"
    Image.fromarray(face).resize((900, 900)).save(picture)
    folder, out = tmp_path / "album", tmp_path / "out"
    folder.mkdir()
    for k in range(300):
        (folder / f"{k:03}.png").symlink_to(picture)

    def at_work(errors: Iterator[str]) -> None:
        deadline = time.monotonic() + 60
        while not (out.is_dir() and len(list(out.glob("*.png"))) >= 2):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    interrupted(("apply", folder, "--expr", "happy", "--model", model, "-o", out), at_work)
    made = files_in(out)
    assert 2 <= len(made) < 300
    for name in made:
        assert pixels(out / name).shape == (900, 900, 3)


def test_the_folder_in_which_one_is(
    face: np.ndarray, model: Path, command: Command, tmp_path: Path, monkeypatch
) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    Image.fromarray(face).save(folder / "a.jfif", "JPEG")
    Image.fromarray(face).save(folder / "b.png")
    monkeypatch.chdir(folder)
    result = command("apply", ".", "--expr", "happy", "--model", model)
    assert result.code == 0, result.err
    assert files_in(tmp_path / "album-happy") == {"a.jpg", "b.png"}
    with Image.open(tmp_path / "album-happy" / "a.jpg") as made:
        assert made.format == "JPEG"
