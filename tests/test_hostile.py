"""Files of strangers: whatever is in them, one line, soon, in little memory."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command, files_in
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks are no package of ours

from benchmarks.hostile.corpus import CORPORA
from benchmarks.hostile.mutation import mutated
from benchmarks.trust import read_one
from pixelreg.data.layouts import scan
from pixelreg.errors import PixelregError
from pixelreg.faces.landmarks import read_landmarks
from pixelreg.models import file as modelfile
from pixelreg.models.model import Frame, Model
from pixelreg.models.plans import AffinePlan, KernelPlan
from pixelreg.pictures import opening
from pixelreg.pictures.image import encode, read_bytes, read_file
from pixelreg.pictures.moving import read_moving

HOSTILE = Path(__file__).resolve().parents[2] / "shared" / "data" / "hostile"
# Those that need no extra package.
LIGHT = ("pictures", "landmarks", "tables", "models", "meshes", "fits", "blendshapes", "answers")
ONES = np.ones((16, 16, 3), np.float32)


def refusal(read: Callable[[], object], says: str = "") -> str:
    """The one line with which something is refused."""
    with pytest.raises(PixelregError, match=says or None) as caught:
        read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def png(width: int, height: int, depth: int = 8, colour: int = 0, pixels: bytes = b"") -> bytes:
    """A PNG that says what it likes of itself."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(pixels, 9)), (b"IEND", b"")):
        crc = struct.pack(">I", zlib.crc32(name + data))
        parts += [struct.pack(">I", len(data)), name, data, crc]
    return b"".join(parts)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


# ---- pictures


@pytest.mark.parametrize("name", ["x.png", "x.eps"])
def test_what_runs_a_program_is_not_opened(name: str, tmp_path: Path, monkeypatch) -> None:
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("it ran"))
    path = tmp_path / name
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n")
    refusal(lambda: read_file(path), "not a picture")
    assert ".eps" not in opened_suffixes()


def opened_suffixes() -> frozenset[str]:
    from pixelreg.data.layouts.reading import picture_suffixes

    return picture_suffixes()


def test_suffixes_are_those_of_what_is_opened() -> None:
    assert {".jpg", ".png", ".tif", ".webp", ".bmp", ".gif", ".pgm", ".tga"} <= opened_suffixes()
    assert not {".eps", ".wmf", ".blp", ".fits", ".psd", ".mpg"} & opened_suffixes()


class OfRust(BaseException):
    """What a decoder in Rust raises is no Exception."""


OfRust.__name__ = "PanicException"


@pytest.mark.parametrize(
    "fault",
    [
        *(RuntimeError, NotImplementedError, AttributeError, struct.error, MemoryError, OfRust),
        *(AssertionError, RecursionError, zlib.error),
    ],
)
def test_every_fault_of_a_decoder_is_one_line_wherever_pictures_are_opened(
    fault, tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "A_neutral.png"
    path.write_bytes(png(8, 8, pixels=bytes(72)))

    def broken(*_: object, **__: object) -> None:
        raise fault("the decoder\nsays something")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", broken)
    refusal(lambda: read_file(path), "A_neutral.png")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile._open", broken)
    refusal(lambda: read_file(path), "A_neutral.png")
    in_order(lambda: read_moving(path.read_bytes(), "A_neutral.png"))
    in_order(lambda: scan(tmp_path))


def in_order(read: Callable[[], object]) -> None:
    """Something may be taken or refused, but in one line of ours."""
    line = ""
    try:
        read()
    except PixelregError as error:
        line = str(error)
    assert len(line.splitlines()) <= 1


def test_an_interrupt_is_none_of_a_decoders_faults(monkeypatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_bytes(png(8, 8, pixels=bytes(72)), "x")


def test_a_bad_picture_ends_no_batch(model: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    good = png(32, 32, pixels=bytes(33 * 32))
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").write_bytes(good)
    heic = bytes.fromhex("0000001c66747970686569630000000068656963") + bytes(200)
    for name, content in {
        "a.heic": heic,
        "b.dds": b"DDS " + bytes(300),
        "c.png": good[:50],
    }.items():
        (tmp_path / "in" / name).write_bytes(content)
    words = ("--expr", "happy", "--model", model, "--no-align", "-o", tmp_path / "out")
    result = command("apply", tmp_path / "in", *words)
    assert result.code == 1
    assert "3 of" in result.err
    assert "Traceback" not in result.err
    assert files_in(tmp_path / "out") == {"0.png", "1.png", "2.png"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (png(30_000, 30_000), "million pixels"),
        (png(9400, 9400, 16), "million pixels"),  # 88 million, of which each takes 50 bytes
        (png(9000, 9000), "no photograph"),
        (png(70_000, 2, 1), "a side"),
        (saved(Image.new("L", (9, 9)), "TIFF").replace(b"\x09\x00", b"\xff\xfa"), ""),
    ],
    ids=["pixels", "deep", "few bytes", "side", "a tiff"],
)
def test_declared_sizes_are_refused_before_memory_is_taken(content: bytes, says: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal(lambda: read_bytes(content, "x"), says)
    refusal(lambda: read_moving(content, "x") or read_bytes(content, "x"), says)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


def test_a_flat_picture_of_ordinary_size_is_taken() -> None:
    blank = saved(Image.new("RGB", (3000, 2000), "white"), "PNG")  # 330 pixels to the byte
    assert read_bytes(blank, "x").pixels.shape == (2000, 3000, 3)


def test_all_pictures_of_a_file_are_counted_together(monkeypatch) -> None:
    frames = [Image.fromarray(np.full((40, 40, 3), k, np.uint8)) for k in range(6)]
    film = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert read_moving(film, "x") is not None
    monkeypatch.setattr(opening, "MOST_PIXELS", 4000)  # twice as many for all together
    refusal(lambda: read_moving(film, "x"), "together")
    gif = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    monkeypatch.setattr(opening, "MOST_FRAMES", 5)
    refusal(lambda: read_moving(gif, "x"), "more than 5 pictures")


def test_the_filters_of_warnings_stay_as_they_are_while_threads_read() -> None:
    """`warnings.catch_warnings` puts back in one thread what another one had changed."""
    before = list(warnings.filters)
    content = png(64, 64, pixels=bytes(65 * 64))
    threads = [
        threading.Thread(target=lambda: [read_bytes(content, "x") for _ in range(40)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    seen = [list(warnings.filters) == before for _ in range(2000)]
    for thread in threads:
        thread.join()
    assert all(seen)
    assert list(warnings.filters) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("suffix", [".png", ".safetensors", ".tem", ".onnx", ".mp4", ".ply"])
def test_a_pipe_or_a_device_is_refused_at_once(
    suffix: str, model: Path, command: Command, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        path = tmp_path / f"{name}{suffix}"
        if suffix in (".safetensors", ".onnx"):
            result = command("info", path)
        elif suffix == ".tem":
            refusal(lambda path=path: read_landmarks(path))
            continue
        elif suffix == ".ply":
            from pixelreg.shapes.meshes import read_mesh

            refusal(lambda path=path: read_mesh(path))
            continue
        else:
            result = command("apply", path, "--expr", "happy", "--model", model)
        assert result.code != 0
        assert "pipe or a device" in result.error


# ---- models


def test_plans_that_hold_no_number_are_refused() -> None:
    empty = KernelPlan(np.zeros((256, 0), np.float32), np.zeros((4096, 4096, 3, 0), np.float32))
    content = modelfile.to_bytes(Model({"happy": empty}))
    assert len(content) < 1000
    refusal(lambda: modelfile.from_bytes(content, "x"), "holds no numbers")


def header_changed(change: Callable[[dict], None]) -> bytes:
    whole = modelfile.to_bytes(Model({"happy": AffinePlan(ONES, ONES)}, frame=Frame()))
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + whole[8 + length :]


@pytest.mark.parametrize("kind", ["F8_E4M3", "BF16", "F4", "\x1b[31m", 7, None])
def test_tensors_of_a_type_that_is_never_written_are_refused(kind: object) -> None:
    content = header_changed(lambda header: header["happy/weight"].update(dtype=kind))
    refusal(lambda: modelfile.from_bytes(content, "x"), "type")


def test_tables_within_tables_end() -> None:
    deep = '{"a":' * 400 + "1" + "}" * 400

    def change(header: dict) -> None:
        header["__metadata__"]["settings"] = f'{{"happy": {deep}}}'

    refusal(lambda: modelfile.from_bytes(header_changed(change), "x"), "nested too deeply")


@pytest.mark.parametrize("eyes", ["[[1e-300,0],[0,0]]", "[[1e9,0],[0,0]]", "[[NaN,0],[0,0]]"])
def test_eyes_that_no_face_has_are_refused(eyes: str) -> None:
    left, right = json.loads(eyes)

    def change(header: dict) -> None:
        frame = {"left_eye": left, "right_eye": right}
        header["__metadata__"]["frame"] = json.dumps(frame)

    refusal(lambda: modelfile.from_bytes(header_changed(change), "x"), "eye positions")


# ---- text and names


@pytest.mark.parametrize("count", ["²", "9" * 5000, "", "Infinity", "-1", "6٨"])
def test_numbers_that_are_none_in_landmarks(count: str, tmp_path: Path) -> None:
    (tmp_path / "x.pts").write_text(f"version: 1\nn_points: {count}\n{{\n1 2\n}}\n")
    (tmp_path / "x.tem").write_text(f"{count}\n1\t2\n")
    for name in ("x.pts", "x.tem"):
        refusal(lambda name=name: read_landmarks(tmp_path / name))


@pytest.mark.parametrize("cell", ["x" * 5000, "a\0b", "²", "9" * 5000, "/dev/zero", "../" * 2000])
def test_cells_that_name_no_file(cell: str, tmp_path: Path) -> None:
    rows = "".join(f"{p},{e},{p}{e}.png\n" for p in "AB" for e in ("neutral", "happy"))
    for row in rows.split():
        Image.new("L", (8, 8)).save(tmp_path / row.split(",")[2])
    table = tmp_path / "t.csv"
    table.write_text(f"person,expression,path,session\n{rows}C,happy,{cell},{cell}\n")
    found = scan(table)
    assert len(found.photos) == 4
    assert len(found.problems) == 1


NAMES = ["a/../../b", "a\0b", "\x1b]0;owned\x07", "x" * 400, "\u202egpj", ".."]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_the_name_of_a_target_stays_a_name(name: str, command: Command, tmp_path: Path) -> None:
    modelfile.save(Model({name: AffinePlan(ONES, ONES * 0)}), tmp_path / "m.safetensors")
    (tmp_path / "in").mkdir()
    picture = tmp_path / "in" / "p.png"
    picture.write_bytes(png(16, 16, pixels=bytes(17 * 16)))
    result = command("info", tmp_path / "m.safetensors")
    assert result.code == 0
    assert not any(ord(c) < 32 and c not in "\n\t" for c in result.out + result.err)
    assert "\u202e" not in result.out + result.err
    result = command("apply", picture, "--model", tmp_path / "m.safetensors", "--no-align")
    assert result.code == 0
    made = files_in(tmp_path / "in") - {"p.png"}
    assert len(made) == 1
    assert made.pop().isprintable()
    assert {path.split("/")[0] for path in files_in(tmp_path)} == {"m.safetensors", "in"}


def test_what_a_terminal_obeys_is_shown_instead(capsys) -> None:
    from pixelreg.commands.console import give, give_json, say

    text = "a\x1b[31mb\x9b2Jc\x07d\x7fe\u202ef\ng\th"
    give(text)
    say(text)
    told = capsys.readouterr()
    for written in (told.out, told.err):
        assert written == "a\\x1b[31mb\\x9b2Jc\\x07d\\x7fe\\u202ef\ng\th\n"
    give_json({"a": text})
    written = capsys.readouterr().out
    assert json.loads(written) == {"a": text}
    assert written.replace("\n", "").isprintable()


# ---- every reader, on mutated files


@pytest.mark.parametrize("kind", LIGHT)
def test_mutated_files_are_taken_or_refused(kind: str, tmp_path: Path) -> None:
    seeds = list(CORPORA[kind]().items())
    others = [content for _, content in seeds]
    bad = []
    for number in range(150):
        rng = random.Random(f"{kind} {number}")
        name, whole = rng.choice(seeds)
        path = tmp_path / f"x.{name.rpartition('.')[2]}"
        path.write_bytes(mutated(whole, others, rng))
        what = read_one(kind, path)
        bad += [] if what in ("taken", "refused") else [(number, what)]
    assert not bad


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=400), head=st.sampled_from(sorted(CORPORA["pictures"]())))
def test_bytes_behind_the_head_of_a_picture(content: bytes, head: str) -> None:
    start = PICTURES[head][:40]
    in_order(lambda: encode(read_bytes(start + content, "x"), "PNG"))


PICTURES = CORPORA["pictures"]()


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=300))
def test_any_text_as_landmarks(text: str, tmp_path_factory) -> None:
    folder = tmp_path_factory.getbasetemp()
    for name in ("any.tem", "any.pts"):
        for whole in (text, f"version: 1\nn_points: {text}\n{{\n{text}\n}}"):
            (folder / name).write_text(whole, encoding="utf-8", errors="surrogatepass")
            refusal(lambda name=name: read_landmarks(folder / name))


FACTS = ("colour", "frame", "model", "plans", "provenance", "settings", "size", "source", "targets")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    key=st.sampled_from(sorted(modelfile._facts(Model({"happy": AffinePlan(ONES, ONES)})))),
    value=JSON,
)
@example("provenance", {"\x85": None})
def test_any_json_in_the_metadata_of_a_model(key: str, value: object) -> None:
    def change(header: dict) -> None:
        header["__metadata__"][key] = json.dumps(value)

    in_order(lambda: modelfile.from_bytes(header_changed(change), "x"))


# ---- the files with which faults were found

KINDS = {
    "image": "pictures",
    "bomb": "pictures",
    "eps": "pictures",
    "card": "cards",
    "meta": "descriptions",
    "model": "models",
    "sums": "sums",
    "onnx": "onnx",
    "pth": "checkpoints",
    "pts": "landmarks",
    "csvdir": "tables",
    "fitcheckpoint": "fits",
}
NEEDED = {"onnx": "onnxruntime", "pth": "torch"}


@pytest.mark.parametrize("path", sorted(HOSTILE.glob("*")), ids=lambda path: path.name)
def test_files_with_which_faults_were_found(path: Path, tmp_path: Path) -> None:
    kind = path.name.partition("-")[0]
    pytest.importorskip(NEEDED.get(kind, "numpy"))
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_one(KINDS[kind], copy) in ("taken", "refused")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KB


# ---- files and signals


def test_what_a_dead_run_left_is_taken_over(tmp_path: Path) -> None:
    from pixelreg.files import scratch_of, write_atomically, write_bytes

    path = tmp_path / "made"
    scratch_of(path).write_bytes(b"half of something longer than what comes")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert files_in(tmp_path) == {"made"}

    def while_another_writes(file: io.BufferedWriter) -> None:
        file.write(b"first")
        write_bytes(path, b"second")
        assert path.read_bytes() == b"second"

    write_atomically(path, while_another_writes)
    assert path.read_bytes() == b"first"
    assert files_in(tmp_path) == {"made"}


def test_a_temporary_file_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    from pixelreg.files import scratch_of, write_bytes

    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    scratch_of(tmp_path / "made").symlink_to(victim)
    write_bytes(tmp_path / "made", b"new")
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "made").read_bytes() == b"new"


def test_files_are_on_the_disk_before_they_have_their_name(tmp_path: Path, monkeypatch) -> None:
    from pixelreg.files import write_bytes

    told: list[str] = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (told.append("sync"), sync(handle))[1])
    monkeypatch.setattr(Path, "replace", lambda a, b: (told.append("name"), replace(a, b))[1])
    write_bytes(tmp_path / "made", b"new")
    assert told == ["sync", "name", "sync"]


def test_no_link_leads_out_of_a_folder(model: Path, command: Command, tmp_path: Path) -> None:
    victim = tmp_path / "victim.png"
    victim.write_bytes(b"precious")
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_bytes(png(32, 32, pixels=bytes(33 * 32)))
    (tmp_path / "out" / "a.png").symlink_to(victim)
    words = ("--expr", "happy", "--model", model, "--no-align")
    result = command("apply", tmp_path / "in", *words, "-o", tmp_path / "out")
    assert result.code == 1
    assert "leads out of" in result.err
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "out" / "b.png").is_file()
    (tmp_path / "named.png").symlink_to(victim)  # who names a link means where it leads
    code = command("apply", tmp_path / "in" / "a.png", *words, "-o", tmp_path / "named.png").code
    assert code == 0
    assert victim.read_bytes() != b"precious"


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_an_end_from_outside_is_as_ctrl_c(number: str, tmp_path: Path) -> None:
    import signal
    import subprocess
    import sys
    import time

    out = tmp_path / "faces"
    # As people run it: with -W error, a signal just after a file was opened would be told of twice.
    words = [
        sys.executable,
        "-m",
        "pixelreg",
        "data",
        "synthesise",
        out,
        "--people",
        "198",
        "--size",
        "512",
    ]
    with subprocess.Popen(
        list(map(str, words)),
        stderr=subprocess.PIPE,
        # Tests that were begun by nohup have been told to ignore it.
        preexec_fn=lambda: signal.signal(getattr(signal, number), signal.SIG_DFL),
    ) as process:
        try:
            end = time.monotonic() + 30
            while not list(out.rglob("*.JPG")) and time.monotonic() < end:
                time.sleep(0.05)
            process.send_signal(getattr(signal, number))
            _, told = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 1
    assert told.decode().splitlines()[-1].startswith("pixelreg: error: stopped before the end")
    assert b"Traceback" not in told


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_what_was_closed_takes_no_file(closed: int, model: Path, tmp_path: Path) -> None:
    import subprocess

    from cli_tools import CLI

    picture = tmp_path / "p.png"
    picture.write_bytes(png(32, 32, pixels=bytes(33 * 32)))
    out = tmp_path / "o.png"
    words = [*CLI, "apply", picture, "--expr", "happy", "--model", model, "--no-align", "-o", out]
    shell = f'exec "$@" {closed}{"<" if closed == 0 else ">"}&-'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *map(str, words)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert read_file(out).pixels.shape == (32, 32, 3)
    words = [*CLI, "info", model]
    done = subprocess.run(
        ["sh", "-c", shell, "sh", *map(str, words)], capture_output=True, check=False
    )
    assert done.returncode == (1 if closed == 1 else 0)  # what nobody got must not pass for given
    assert b"Traceback" not in done.stderr


def test_the_date_of_a_model_can_be_said(monkeypatch) -> None:
    from pixelreg.models.model import made_on

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86399")
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    assert made_on() == "1970-01-01"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "9" * 5000)
    refusal(made_on, "SOURCE_DATE_EPOCH")


# ---- films


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.mp4", "ffconcat version 1.0\nfile clip.mkv\n"),
        ("b.ts", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.mkv\n#EXT-X-ENDLIST\n"),
        ("c.mkv", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 9 RTP/AVP 96\n"),
    ],
)
def test_lists_of_films_are_none(name: str, content: str, tmp_path: Path) -> None:
    pytest.importorskip("av")
    from pixelreg.video.container import opened

    (tmp_path / "clip.mkv").write_bytes(CORPORA["videos"]()["mkv"])
    with opened(tmp_path / "clip.mkv") as source:
        assert len(list(source.items())) == 4
    (tmp_path / name).write_text(content)

    def watch() -> None:
        with opened(tmp_path / name) as source:
            list(source.items())

    refusal(watch, name)
