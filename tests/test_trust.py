"""Faults that hostile files, full disks, threads and old packages showed, each tried again."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cli_tools import Command, files_in
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks are no package of ours

from benchmarks.hostile.corpus import MARK, answers, small_training, videos
from pixelreg.errors import DataError, ImageError, MissingExtraError, ModelFileError, PixelregError
from pixelreg.pictures.image import Picture, encode
from pixelreg.pictures.moving import Moving, encode_moving
from pixelreg.pictures.sheet import animated
from pixelreg.study.tally import read_answers, read_key, tally


def line_of(error: type[Exception], work: Callable[[], object], says: str = "") -> str:
    """The one line with which something ends."""
    with pytest.raises(error, match=says or None) as caught:
        work()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- texts that make a search go back again and again

LONG = 1_000_000
BEGUN = [
    *(b" ", b"<xmp:Thumbnails ", b"<xmp:Thumbnails>", b"<exif:GPSa ", b"<exif:GPSa>"),
    *(b" exif:GPSa=' ", b"<Iptc4xmpExt:DigitalSourceType ", b"<?xpacket end", b"pixelreg"),
    *(b'<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="" ', b"tiff:Orientation   "),
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("begun", BEGUN, ids=str)
def test_xmp_that_begins_and_never_ends_is_read_once(begun: bytes) -> None:
    from pixelreg.pictures import about

    xmp = begun * (LONG // len(begun))
    for work in (about._short, about._upright_xmp, about._placeless_xmp, about._marked_xmp):
        assert work(xmp)
    assert not about._marked(xmp)
    names = b"".join(b"<exif:GPS%d>" % k for k in range(50_000))  # each of another name
    assert about._placeless_xmp(names) == names


def test_properties_are_left_out_as_attributes_and_as_elements() -> None:
    from pixelreg.pictures.about import _placeless_xmp, _short, _upright_xmp

    places = b"<a exif:GPSLatitude='1,2N' b=\"c\"><exif:GPSAltitude>3</exif:GPSAltitude >d"
    places += b'<exif:GPSMapDatum x="/"/>e<exif:GPSTrack>f<exif:GPSTrack>g</exif:GPSTrack>h</a>'
    assert _placeless_xmp(places) == b'<a b="c">deh</a>'
    thumbs = b"<a><xap:Thumbnails><b>c</b></xap:Thumbnails><xmp:Thumbnails>d</a>"
    assert _upright_xmp(thumbs) == b"<a><xmp:Thumbnails>d</a>"
    assert _short(b"<a/>" + b" " * 2000 + b'<?xpacket end="w"?>') == b'<a/>\n<?xpacket end="w"?>'


@pytest.mark.timeout(60)
def test_blanks_in_the_head_of_a_ppm_are_read_once(tmp_path: Path) -> None:
    from pixelreg.pictures.image import read_file

    path = tmp_path / "x.ppm"
    path.write_bytes(b"P6" + b" " * 60 + b"2 1 # so wide\n# and deep\n255 abcdef")
    assert read_file(path).pixels.shape == (1, 2, 3)


@pytest.mark.timeout(60)
def test_a_graph_of_endless_names_is_one_line(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    import pixelreg
    from benchmarks.hostile.corpus import graphs

    graph = onnx.load_from_string(graphs()["onnx"])
    graph.graph.node[0].input[1] = "/a" * 50_000
    (tmp_path / "x.onnx").write_bytes(graph.SerializeToString())
    load = lambda: pixelreg.load(tmp_path / "x.onnx", provider="cpu", threads=1)  # noqa: E731
    assert len(line_of(ModelFileError, load, "refused by onnxruntime")) < 1000


# ---- studies


def key_file(folder: Path, **changes: object) -> Path:
    path = folder / "key.json"
    path.write_text(json.dumps({**json.loads(answers()["json"]), **changes}))
    return path


@pytest.mark.parametrize(
    "changes",
    [
        *({"trials": wrong} for wrong in ({}, [3], [{"order": "ab"}], [{"order": [1]}], None)),
        *({"models": "ab"}, {"questions": [["quality"]]}, {"study": ["s"]}),
    ],
    ids=str,
)
def test_a_key_of_other_shapes_is_none(changes: dict[str, object], tmp_path: Path) -> None:
    whole = read_key(key_file(tmp_path))
    assert tally(read_answers(tmp_path / "key.json", whole), whole).answers == 1
    line_of(DataError, lambda: read_key(key_file(tmp_path, **changes)), "no key of a study")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "\udcff"])
def test_json_that_no_study_writes(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, errors="surrogateescape")
    line_of(DataError, lambda: read_key(path), "a.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_answers_are_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    line_of(DataError, lambda: read_key(tmp_path / "a.json"), "pipe or a device")


# ---- pictures that a format has no room for


def test_a_film_that_webp_has_no_room_for() -> None:
    """WebP ends at 16,383 pixels, which its encoder says with a RuntimeError."""
    tall = Picture(np.zeros((16_400, 4, 3), np.uint8))
    film = Moving((tall, tall), (50, 50), 0)
    line_of(ImageError, lambda: encode_moving(film, "WEBP"), "cannot write an animation as WEBP")
    assert encode_moving(film, "PNG")


class OfRust(BaseException):
    """What an encoder in Rust raises is no Exception."""


OfRust.__name__ = "PanicException"


@pytest.mark.parametrize("fault", [RuntimeError, SystemError, TypeError, MemoryError, OfRust])
def test_whatever_an_encoder_raises_is_one_line(fault: Any, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise fault("the encoder\nsays something")

    monkeypatch.setattr(Image.Image, "save", broken)
    small = Picture(np.zeros((4, 4, 3), np.uint8))
    line_of(ImageError, lambda: encode(small, "PNG"), "cannot write a picture as PNG")
    line_of(ImageError, lambda: encode_moving(Moving((small, small), (9, 9)), "GIF"), "GIF")
    frames = [Image.new("RGB", (4, 4))] * 2
    line_of(ImageError, lambda: animated(frames, ".webp", 9), "cannot write an animation as WEBP")


# ---- what is there already


def test_nothing_is_written_over_without_a_word(
    model: Path, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (32, 32)).save(tmp_path / "in" / name)
    words = ("--model", model, "--expr", "happy", "--no-align", "-o")
    for source, output, says in (
        ("in/a.png", "one.png", f"{tmp_path / 'one.png'} is there already, and will be replaced"),
        ("in/a.png", "sweep.gif", "sweep.gif is there already"),
        ("in", "out", "2 replaced what was there"),
    ):
        more = ("--animate", tmp_path / output) if output.endswith("gif") else ()
        line = ["apply", tmp_path / source, *words, tmp_path / output]
        line = [*line[:-2], *more] if more else line
        first, again = command(*line), command(*line)
        assert (first.code, again.code) == (0, 0), first.err + again.err
        assert says not in first.err
        assert says in again.err
    inside = ("apply", tmp_path / "in", *words[:-1], "--in-place")
    assert "replaced" not in command(*inside).err


def test_what_failed_has_replaced_nothing(model: Path, command: Command, tmp_path: Path) -> None:
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
        for name in ("a.png", "b.png"):
            Image.new("RGB", (32, 32)).save(tmp_path / folder / name)
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    words = ("--model", model, "--expr", "happy", "--no-align", "-o", tmp_path / "out")
    done = command("apply", tmp_path / "in", *words)
    assert done.code == 1
    assert "1 replaced what was there" in done.err


def test_a_file_is_said_to_be_replaced_once(model: Path, command: Command, tmp_path: Path) -> None:
    for name in ("in.png", "out.gif"):
        Image.new("RGB", (32, 32)).save(tmp_path / name)
    line = ("apply", tmp_path / "in.png", "--expr", "happy", "--model", model, "--no-align")
    result = command(*line, "--animate", tmp_path / "out.gif")
    assert result.err.count("is there already") == 1
    assert "is there already" not in command(*line, "-o", tmp_path / "out.xyz").err


def test_a_model_is_not_written_over_without_a_word(
    model: Path, command: Command, tmp_path: Path
) -> None:
    from pixelreg.data.synthetic import synthesise

    synthesise(tmp_path / "faces", people=3, size=32, seed=1)
    fit = ("fit", "--data", tmp_path / "faces", "--no-align", "--size", "16", "--holdout", "0")
    there = tmp_path / "m.safetensors"
    there.write_bytes(model.read_bytes())
    fit += ("--expr", "happy", "-o", there)
    told = f"{there} is there already, and will be replaced\n"
    for wrong in (("--model", "kr", "--sigma", "-1"), ("--nothing",)):
        result = command(*fit, *wrong)
        assert result.code == 2
        assert told not in result.err  # as it is not
    again = command(*fit)
    assert again.code == 0
    assert again.err.count(told) == 1
    assert again.err.index(told) < again.err.index("wrote")


# ---- full disks


class FullDisk(io.FileIO):
    """A file that takes a thousand bytes and then has no room."""

    def write(self, content: Any) -> int:
        super().write(bytes(content)[:1000])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill_disk(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let files that are written below a folder find no room."""
    real = io.open

    def opened(file: object, mode: str = "r", *args: object, **kwargs: object) -> object:
        ours = isinstance(file, Path) and folder in file.parents
        full = ours and "b" in mode and "r" not in mode
        return FullDisk(file, mode) if full else real(file, mode, *args, **kwargs)

    patch.setattr(io, "open", opened)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_full_disk_while_a_film_is_written(
    suffix: str, model: Path, command: Command, tmp_path: Path, monkeypatch
) -> None:
    pytest.importorskip("av", reason="PyAV is absent; the extra 'video' brings it")
    source, out = tmp_path / f"clip.{suffix}", tmp_path / "out"
    source.write_bytes(videos()[suffix])
    out.mkdir()
    output = out / f"made.{suffix}"
    output.write_bytes(b"an older film")
    words = ("apply", source, "--expr", "happy", "--model", model, "--no-align", "-o", output)
    with monkeypatch.context() as patch:
        fill_disk(patch, out)
        result = command(*words)
    assert result.code == 1
    assert result.error == f"cannot write {output}: No space left on device"
    assert output.read_bytes() == b"an older film"
    assert files_in(out) == {output.name}
    assert command(*words).code == 0


def test_a_full_disk_while_a_training_is_saved(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("torch", reason="PyTorch is absent; the extra 'train' brings it")
    from deep_onnx.training import checkpoint
    from deep_onnx.training.losses_file import History

    path, algorithm = tmp_path / "last.safetensors", small_training()
    checkpoint.save(path, algorithm, checkpoint.Progress(1), MARK)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        fill_disk(patch, tmp_path)
        full = checkpoint.Progress(2)
        line_of(
            PixelregError, lambda: checkpoint.save(path, algorithm, full, MARK), "No space left"
        )
    assert path.read_bytes() == before
    assert files_in(tmp_path) == {"last.safetensors"}
    assert checkpoint.peek(path) == (1, False)
    losses = History(tmp_path / "some.csv")
    losses.add(1, {"l1": 0.5}, None)
    told = (tmp_path / "some.csv").read_bytes()
    with monkeypatch.context() as patch:
        fill_disk(patch, tmp_path)
        line_of(PixelregError, losses.write, "No space left")  # as a training that goes on does
    assert (tmp_path / "some.csv").read_bytes() == told
    if Path("/dev/full").exists():
        (tmp_path / "losses.csv").symlink_to("/dev/full")
        losses = History(tmp_path / "losses.csv")
        line_of(PixelregError, lambda: losses.add(1, {"l1": 0.5}, None), "No space left")


# ---- checkpoints


@pytest.mark.parametrize(
    ("key", "value"),
    [("best_step", math.inf), ("step", math.inf), ("seconds", 10**400), ("names", {"train": 3})],
)
def test_a_training_with_impossible_numbers_is_one_line(key: str, value, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is absent; the extra 'train' brings it")
    from deep_onnx.training import checkpoint
    from pixelreg.models import store

    path, algorithm = tmp_path / "last.safetensors", small_training()
    checkpoint.save(path, algorithm, checkpoint.Progress(1), MARK)
    values, arrays = store.read(path, checkpoint.FORMAT)
    store.write(path, checkpoint.FORMAT, arrays, {**values, key: value})
    line_of(PixelregError, lambda: checkpoint.load(path, algorithm, MARK), "is damaged")
    if key == "step":
        line_of(PixelregError, lambda: checkpoint.peek(path), "is damaged")


def test_a_training_whose_losses_are_of_no_step_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is absent; the extra 'train' brings it")
    from deep_onnx.training import checkpoint
    from deep_onnx.training.loop import _Loop
    from deep_onnx.training.losses_file import History

    path, algorithm = tmp_path / "last.safetensors", small_training()
    rows = {"train": np.array([[math.inf, 0.5]]), "validation": np.zeros((0, 1))}
    progress = checkpoint.Progress(1, losses=rows, names={"train": ["l1"], "validation": []})
    checkpoint.save(path, algorithm, progress, MARK)
    loop = SimpleNamespace(run=SimpleNamespace(last=path), algorithm=algorithm, mark=MARK)
    loop.losses = History(tmp_path / "losses.csv")
    line_of(PixelregError, lambda: _Loop._resume(loop), "is damaged")


@pytest.mark.parametrize("take", ["box", "shapes", "penguin"])
def test_whole_numbers_beyond_floats_are_one_line(take: str) -> None:
    from pixelreg.faces.landmarks import face_from_box
    from pixelreg.shapes.components import finite

    huge = [10**400] * 4
    if take == "penguin":
        pytest.importorskip("torch", reason="PyTorch is absent; the extra 'train' brings it")
        from deep_onnx.architectures.penguin import _numbers

        line_of(PixelregError, lambda: _numbers("start", huge), "numbers")
    else:
        call = (lambda: face_from_box(huge)) if take == "box" else (lambda: finite("x", huge))
        line_of(PixelregError, call, "numbers")


def zipped(**held: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in held.items():
            made.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"hello", "no checkpoint"),
        (b"<!doctype html><p>404", "a web page"),
        (b"PK\x03\x04" + bytes(90), "cannot be read"),
        (zipped(**{"x/constants.pkl": b"", "x/data.pkl": b""}), "TorchScript"),
        (zipped(readme=b"hello"), "did not write"),
        (zipped(**{"x/data.pkl": bytes(9000)}), "packed"),
    ],
    ids=["empty", "text", "page", "torn", "code", "other", "packed"],
)
def test_what_a_head_tells_is_told_without_pytorch(
    content: bytes, says: str, tmp_path: Path, monkeypatch
) -> None:
    from deep_onnx.weights import read_tables

    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "x.pth").write_bytes(content)
    line_of(ModelFileError, lambda: read_tables(tmp_path / "x.pth"), says)
    (tmp_path / "y.pth").write_bytes(b"\x80\x02")
    line_of(MissingExtraError, lambda: read_tables(tmp_path / "y.pth"), "needs torch")


# ---- onnxruntime


def test_memory_is_bounded_once_with_old_versions_too() -> None:
    """onnxruntime 1.20 takes a process's one allocator, and refuses it when it has it."""
    from deep_onnx.session import _bound_memory

    taken: list[object] = []
    entries: dict[str, str] = {}

    def register(place: object, settings: object) -> None:
        if taken:
            raise RuntimeError("An allocator for this device has already been registered.")
        taken.append(settings)

    ort = SimpleNamespace(
        OrtMemoryInfo=lambda *_: None,
        OrtAllocatorType=SimpleNamespace(ORT_ARENA_ALLOCATOR=0),
        OrtMemType=SimpleNamespace(DEFAULT=0),
        OrtArenaCfg=dict,
        create_and_register_allocator=register,
    )
    options = SimpleNamespace(add_session_config_entry=entries.__setitem__)
    for _ in range(2):
        _bound_memory(ort, options)
    assert len(taken) == 1
    assert entries == {"session.use_env_allocators": "1"}
    ort.create_and_register_allocator = lambda *_: (_ for _ in ()).throw(RuntimeError("no room"))
    with pytest.raises(RuntimeError, match="no room"):
        _bound_memory(ort, options)


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize(
    "line",
    ["generate --model noise.onnx", "portrait synthesise --model portrait.onnx --mask in.png"],
)
def test_every_command_that_runs_a_file_can_trust_it(
    line: str, trust: bool, command: Command, tmp_path: Path, monkeypatch
) -> None:
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper
    from onnx_tools import identity, save

    from deep_onnx import model as running
    from deep_onnx.portrait.running import INPUTS

    def made(contents: object, **options: Any) -> None:
        raise PixelregError(f"trusted={options['trusted']}")

    monkeypatch.setattr(running, "Session", made)
    monkeypatch.chdir(tmp_path)
    save(identity(), Path("noise.onnx"), task="generate", target_kind="noise", targets={})
    several = identity()
    for name in INPUTS[1:]:
        several.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, (1,)))
    save(several, Path("portrait.onnx"), task="portrait", targets={})
    Image.new("RGB", (32, 32)).save("in.png")
    result = command(*line.split(), *(["--trust"] if trust else []), "-o", "out.png")
    assert result.error == f"trusted={trust}"


# ---- threads and processes

FORKS = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import pixelreg
picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
model = pixelreg.load(sys.argv[1])
made = lambda _: model.translate(picture, "happy").tobytes()
expected = made(0)
with ThreadPoolExecutor(16) as pool:
    assert set(pool.map(made, range(64))) == {expected}
children = []
for _ in range(4):
    child = os.fork()
    if not child:
        os._exit(0 if made(0) == expected else 1)
    children.append(child)
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_forked_processes_translate_as_their_parent_does(tmp_path: Path) -> None:
    from pixelreg.models import file as modelfile
    from pixelreg.models.model import Model
    from pixelreg.models.plans import AffinePlan

    ones = np.ones((32, 32, 3), np.float32)
    modelfile.save(Model({"happy": AffinePlan(ones * 0.5, ones * 0.1)}), tmp_path / "m.safetensors")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, str(tmp_path / "m.safetensors")],
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


FITS = """
import sys
from pathlib import Path
from pixelreg.commands.main import main
place, out = Path(sys.argv[1]), Path(sys.argv[2])
for kind in sys.argv[3:]:
    words = ["fit", "--data", place, "--model", kind, "--no-align", "--size", "48"]
    words += ["--expr", "happy", "--holdout", "0", "-o", out / f"{kind}.safetensors"]
    assert main(list(map(str, words))) == 0, kind
"""


def test_one_and_two_threads_of_blas_write_the_same_model(tmp_path: Path) -> None:
    from pixelreg.data.synthetic import synthesise
    from pixelreg.regression import ESTIMATORS

    synthesise(tmp_path / "faces", people=12, size=48, seed=1)
    written = []
    for threads in ("1", "2"):
        out = tmp_path / threads
        out.mkdir()
        names = ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMBA")
        count = {f"{name}_NUM_THREADS": threads for name in names}
        environment = {**os.environ, **count, "PYTHONPATH": str(ROOT), "SOURCE_DATE_EPOCH": "0"}
        line = [sys.executable, "-W", "ignore", "-c", FITS, tmp_path / "faces", out, *ESTIMATORS]
        subprocess.run(line, env=environment, timeout=120, check=True)
        written.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert len(written[0]) == len(ESTIMATORS)
    for name, content in written[0].items():
        assert written[1][name] == content, name


def test_sixteen_threads_translate_as_one() -> None:
    """The bundled flow on a photo: detection, alignment, flow and pasting, all at once."""
    import pixelreg

    with Image.open(ROOT / "examples" / "pictures" / "face.jpg") as photo:
        face = np.asarray(photo.convert("RGB").resize((160, 200)))
    model = pixelreg.load("flow")
    expected = model.translate(face, "happy")
    assert (expected != face).any()
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: model.translate(face, "happy"), range(32)))
    assert all(np.array_equal(each, expected) for each in made)


# ---- packages that are there and broken

BROKEN = """
import warnings
from pixelreg.backends import compiled_loops, get_backend, load_for, quickest
from pixelreg.errors import PixelregError
try:
    get_backend("numba")
except PixelregError as error:
    print(error)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    assert quickest() == get_backend("auto", 1e12).name == "numpy"
    assert compiled_loops("loops_rig") is None
    load_for(10**9)
print({str(each.message) for each in told})
"""


def test_a_broken_numba_is_one_line_and_not_needed(tmp_path: Path) -> None:
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text("raise AttributeError('no llvm\\nhere')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", BROKEN], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "no Numba for the backend 'numba': AttributeError: no llvm here",
        "{'computing without Numba: AttributeError: no llvm here'}",
    ]
