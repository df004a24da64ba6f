"""What the command line refuses: one line that says why, the right exit code, nothing written."""

from __future__ import annotations

import io
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command, files_in, pixels, spawn
from PIL import Image

from pixelreg.models import file as modelfile
from pixelreg.models.model import Model

FIT = "fit --no-align --size 16 --data"
APPLY = "apply face.png --expr happy --model"
COMPARE = "compare crop.png --models model.safetensors"

# Command line, exit code, words of the message in their order with … between them.
REFUSALS: list[tuple[str, int, str]] = [
    ("nosuch", 2, "no such command 'nosuch'…fit…blendshape…demo"),
    ("data nosuch", 2, "no such command 'nosuch'"),
    # folders
    (f"{FIT} nosuch", 2, "nosuch' does not exist"),
    ("data list nosuch", 2, "nosuch' does not exist"),
    (f"{FIT} empty", 1, "no picture…empty"),
    ("evaluate --data empty --model model.safetensors", 1, "no picture…empty"),
    ("data list empty", 1, "no picture…empty"),
    ("apply empty --expr happy --model model.safetensors -o out", 1, "empty holds no picture"),
    (f"{FIT} drawn --layout kdfe", 2, "unknown layout 'kdfe'; choose one of: auto, csv, akdef"),
    ("data list drawn --layout kdfe", 2, "unknown layout 'kdfe'; choose one of: auto, csv"),
    ("data list drawn --layout jaffe", 1, "KA.AN1.39.tiff"),
    (f"{FIT} holiday", 1, "no known layout…2 pictures, such as IMG_1.jpg"),
    (f"{FIT} lonely", 1, "only one person, 'F01'…--holdout 0"),
    *(
        (f"{FIT} lonely --holdout 0 --cv --model {kind}", 1, "cross-validation needs at least two")
        for kind in ("rr", "kr", "mr", "lsrf", "full")
    ),
    (f"{FIT} apart", 1, "no person with both 'neutral'"),
    (f"{FIT} cut", 1, "none of the 8 pairs can be used"),
    (
        f"{FIT} odd --expr happy", 1,
        "none of the 8 pairs can be used…AF01NES.JPG is 64x64 but AF01HAS.JPG is 64x48",
    ),
    (f"{FIT} drawn --expr bored", 2, "unknown expression 'bored'; choose one of: neutral, happy"),
    (f"{FIT} drawn --from bored", 2, "unknown expression 'bored'; choose one of: neutral, happy"),
    (f"{FIT} drawn --expr neutral", 2, "both 'neutral'"),
    # It must not pass for a detector that finds no face.
    ("fit --data drawn --detector magic", 2, "unknown detector 'magic'; choose one of: auto"),
    ("fit --data drawn --detector nosuch.onnx", 1, "nosuch.onnx"),
    # options of fit
    *(
        (f"fit --no-align --data drawn {options}", 2, reason)
        for options, reason in {
            "--lambda -1": "--lambda must be a number above 0, not -1",
            "--lambda 0": "--lambda must be a number above 0",
            "--lambda nan": "--lambda must be a number above 0",
            "--lambda inf": "--lambda must be a number above 0",
            "--lambda much": "'much' is not a valid float",
            "--model kr --sigma 0": "--sigma must be a number above 0",
            "--model kr --sigma nan": "--sigma must be a number above 0",
            "--model rr --sigma 3": "--sigma belongs to --model kr",
            "--model flow --sigma 3": "--sigma belongs to --model kr",
            "--sigma 3 --prior zero": "--sigma is kr's and --prior is rr's",
            "--preset paper --lambda 1": "--preset paper is for rr or kr or mr or full",
            "--preset paper --sigma 1": "--preset paper is for rr or kr or mr or full",
            "--preset paper --prior zero": "--preset paper is for rr or kr or mr or full",
            "--preset paper --size 64": "--preset paper is for rr or kr or mr or full",
            "--preset paper --cv": "--preset paper is for rr or kr or mr or full",
            "--preset paper --model lsrf": "--preset paper is for rr or kr or mr or full",
            "--model mr --field 4": "--field must be odd",
            "--model rr --field 3": "--field belongs to --model mr or lsrf",
            "--model mr --pixels 2": "--pixels belongs to --model lsrf",
            "--preset papers": "'papers' is not",
            "--model kr --prior zero": "--prior belongs to --model rr",
            "--model deep": "'deep' is not one of 'auto', 'rr', 'kr', 'mr', 'lsrf', 'full', 'flow'",
            "--size 0": "0 is not in the range",
            "--size -5": "-5 is not in the range",
            "--size 1000000": "1000000 is not in the range",
            "--holdout 1": "1.0 is not in the range",
            "--holdout -0.1": "-0.1 is not in the range",
            "--holdout nan": "nan",
            "--seed x": "'x' is not a valid integer",
            "--dtype float64": "'float64' is not one of",
            "-o model.pkl": "the model file's name must end in .safetensors",
            "--sums s.npz": "the file of sums's name must end in .sums",
            "--nosuch": "No such option",
            "stray": "stray",
        }.items()
    ),
    # apply: where the face is, how much, of what
    *(
        (f"{APPLY} photo.safetensors -o out.png {options}", code, reason)
        for options, code, reason in (
            ("--strength nan", 2, "strength must be between"),
            ("--strength inf", 2, "strength must be between"),
            ("--strength 11", 2, "strength must be between"),
            ("--strength 0,1,11", 2, "strength must be between"),
            ("--strength 'a lot'", 2, "'a lot'"),
            ("--strength ''", 2, "'' is not a list of numbers"),
            ("--strength 0,1,", 2, "is not a list of numbers"),
            ("--eyes 1,2,3", 2, "'1,2,3' has 3 numbers; 4 are needed"),
            ("--eyes a,b,c,d", 2, "'a,b,c,d' is not a list of numbers"),
            ("--eyes 1,2,nan,4", 2, "eyes must be four finite numbers"),
            ("--eyes 5,5,5,5", 2, "eyes"),
            ("--eyes 9000,9000,9030,9000", 1, "outside the picture"),
            ("--box 1,2,3", 2, "'1,2,3' has 3 numbers; 4 are needed"),
            ("--box 1,2,-3,4", 2, "positive width and height"),
            ("--face 0", 2, "face '0'"),
            ("--detector magic", 2, "unknown detector 'magic'; choose one of: auto"),
            ("--no-align --eyes 20,25,40,25", 2, "--no-align looks for no face: leave out --eyes"),
            ("--no-align --box 10,10,40,40", 2, "--no-align looks for no face: leave out --eyes"),
            ("--eyes 9,9,20,9 --box 5,5,20,20", 2, "--eyes and --box both say where the face is"),
            ("--slide AU12=1", 2, "--expr and --slide both say what to make"),
            ("--provider cpu", 2, "--provider and --meta are for ONNX models"),
        )
    ),
    ("apply face.png --model photo.safetensors --slide AU12", 2, "not of the form NAME=VALUE"),
    ("apply wall.png --expr happy --model photo.safetensors --detector bundled", 1,
     "no face was found…--eyes"),
    # apply: what goes in and where it goes
    ("apply text.png --expr bored --model model.safetensors", 2,
     "unknown expression 'bored'; choose one of: happy, sad"),  # before anything is read
    ("apply face.png --model model.safetensors", 2, "--expr: one of happy, sad"),
    ("apply --expr happy --model model.safetensors", 2, "INPUT"),
    (f"{APPLY} nosuch.safetensors", 2, "does not exist"),
    (f"{APPLY} model.safetensors -o out.xyz", 1, "suffix"),
    *(
        (f"apply --expr happy --model model.safetensors {words}", code, reason)
        for words, code, reason in (
            ("nosuch.png", 2, "no such file or folder"),
            ("'*.xyz'", 2, "no such file or folder: *.xyz; no file matches it"),
            ("https://example.org/a.jpg", 2, "addresses are not fetched"),
            ("a/face.png crop.png -o out.jpg", 2, "names one picture, and several need a folder"),
            ("crop.png --in-place --strength 0,1", 2, "would put a strip over the picture"),
            ("a --in-place --strength 0,1", 2, "would put a strip over the picture"),
            ("face.png -", 2, "- stands alone"),
            ("a/face.png b/face.png -o out", 2, "a/face.png and b/face.png would both become"),
            ("a/face.png b/face.png -o a/face.png", 2, "is a file; several pictures need a folder"),
            ("crop.png crop.png --animate a.gif", 2, "one picture"),
            ("a --animate a.gif", 2, "one picture"),
            ("- --animate a.gif", 2, "one picture"),
            ("crop.png crop.png --debug-crop c.png", 2, "one picture"),
            ("- --debug-crop c.png", 2, "one picture"),
            ("crop.png --animate a.gif -o out.gif", 2, "leave out -o"),
            ("nosuch.png --animate a.gif", 2, "no such file"),
            ("crop.png --animate a.mp4", 2, "cannot animate .mp4"),
            ("crop.png --animate sweep", 2, "cannot animate a file without suffix"),
            ("crop.png --debug-crop c.xyz", 1, "suffix"),
            ("crop.png --sliders s.png", 2, "--sliders takes one picture file"),
            ("clip.mp4 crop.png", 2, "a video stands alone"),
        )
    ),
    ("apply crop.png --model model.safetensors --sliders s.png", 2, "and no numbers"),
    # compare
    (f"{COMPARE} other.safetensors --expr sad", 2, "unknown expression 'sad'"),
    ("compare --models model.safetensors other.safetensors", 2, "at least one picture"),
    ("compare crop.png --models face.png", 2, "must end in .safetensors"),
    ("compare crop.png --models nosuch.safetensors", 2, "does not exist"),
    ("compare nosuch.png --models model.safetensors", 2, "does not exist"),
    (f"{COMPARE} --strength nan", 2, "strength must be between"),
    (f"{COMPARE} --side 8", 2, "8 is not in the range"),
    (f"{COMPARE} -o sheet.txt", 1, "suffix"),
    (f"{COMPARE} --no-align --box 1,1,9,9", 2, "--no-align looks for no face"),
    ("compare", 2, "INPUT"),
    # evaluate, info
    ("evaluate --data calm --no-align --model model.safetensors", 1,
     "none of the model's expressions: happy, sad"),
    ("info nosuch.safetensors", 1, "cannot read"),
    ("info model.bin", 2, "must end in .safetensors"),
    ("info folder.safetensors", 1, "folder.safetensors"),
    # data, demo
    *(
        (f"data synthesise made {option} {value}", 2, value)
        for option, value in (
            ("--people", "0"), ("--size", "4"), ("--sessions", "3"), ("--seed", "-1"),
        )
    ),
    ("data download paris paris", 2, "unknown data set 'paris'; choose one of: london"),
    ("data sketch drawn out --expr bored", 2, "unknown expression 'bored'"),
    ("data sketch empty out", 1, "no picture"),
    ("demo --people 3 -o made", 2, "3 is not in the range"),
    ("demo --size 8 -o made", 2, "8 is not in the range"),
    # blendshape
    *(
        (f"blendshape drawn {options}", 2, reason)
        for options, reason in {
            "-o x.npz": "the file of components's name must end in .safetensors",
            "--picture x.jpg": "the picture's name must end in .png",
            "--on-face": "--on-face shows the --picture of flow",
            "--components 0": "0 is not in the range",
            "--sparsity 1": "1.0 is not in the range",
            "--step 7 --no-align": "the step must divide the crops' side 128",
            "--expr bored": "unknown expression 'bored'",
        }.items()
    ),
    ("blendshape scans --from angry", 1, "nobody has a mesh angry/NAME.obj"),
    ("blendshape scans --components 2", 2, "1 shapes give 1 to 1 components, not 2"),
    # places that cannot be written to
    (f"{FIT} drawn -o blocked/m.safetensors", 1, "cannot write blocked/m.safetensors"),
    (f"{APPLY} model.safetensors -o blocked/out.png", 1, "cannot write"),
    ("data synthesise blocked/drawn --people 1 --size 16", 1, "cannot write"),
]  # fmt: skip


def jpeg(face: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, "JPEG")
    return buffer.getvalue()


# One of each kind: test_image.py and test_modelfile.py have the others.
BAD_PICTURES = {
    "truncated.jpg": (lambda face: jpeg(face)[:900], "is damaged"),
    "text.png": (lambda face: b"this is a letter, not a picture\n" * 9, "is not a picture"),
    "empty.png": (lambda face: b"", "is empty (0 bytes)"),
}
BAD_MODELS = {
    "truncated": (lambda model: model[:-100], "is damaged, or is not a model"),
    "version-9": (lambda m: m.replace(b'_version":"1"', b'_version":"9"'), "has format version 9"),
    "other": (lambda model: b"PK\x03\x04 something else entirely" * 20, "not a .safetensors file"),
}
REFUSALS += [
    (f"apply {name} --expr happy --model model.safetensors {more}", 1, f"{name}…{reason}")
    for name, (_, reason) in BAD_PICTURES.items()
    for more in ("", "--strength 0")  # no way around it
]
REFUSALS += [
    (line, 1, f"bad-{name}.safetensors…{reason}")
    for name, (_, reason) in BAD_MODELS.items()
    for line in (
        f"info bad-{name}.safetensors",
        f"{APPLY} bad-{name}.safetensors -o out.png",
        f"evaluate --data drawn --no-align --model bad-{name}.safetensors",
    )
]


@pytest.fixture(scope="module")
def scene(drawn: Path, model: Path, photo_model: Path, tmp_path_factory) -> Path:
    """A folder with everything that the table names."""
    place = tmp_path_factory.mktemp("scene")
    face = pixels(drawn / "KDEF" / "AF01" / "AF01NES.JPG")
    for name in ("empty", "holiday", "folder.safetensors", "a", "b"):
        (place / name).mkdir()
    for name in ("holiday/IMG_1.jpg", "holiday/IMG_2.jpg", "a/face.png", "b/face.png", "face.png"):
        Image.fromarray(face).save(place / name)
    Image.fromarray(face).resize((32, 32)).save(place / "crop.png")
    Image.new("RGB", (200, 150), "grey").save(place / "wall.png")
    for name in ("blocked", "clip.mp4"):
        (place / name).write_text("in the way")
    for name in ("drawn", "apart", "cut", "odd", "calm"):
        for path in sorted(shutil.copytree(drawn, place / name).rglob("*.JPG")):
            code = path.stem[4:6]
            if name == "cut":
                path.write_bytes(path.read_bytes()[:500])
            elif name == "odd" and code == "HA":
                Image.open(path).resize((64, 48)).save(path)
            elif (name == "calm" and code != "NE") or (
                name == "apart" and (code == "SA" or ("F0" in path.stem) == (code == "HA"))
            ):
                path.unlink()
    shutil.copytree(drawn / "KDEF" / "AF01", place / "lonely" / "KDEF" / "AF01")
    for name in ("neutral", "happy"):
        (place / "scans" / name).mkdir(parents=True)
        (place / "scans" / name / "a.obj").write_text(f"v 0 0 0\nv 1 0 {len(name)}\nv 0 1 0\n")
    for name in ("model.safetensors", "model.bin"):
        shutil.copy(model, place / name)
    plan = modelfile.load(model).plan("happy")
    modelfile.save(Model({"happy": plan}), place / "other.safetensors")
    shutil.copy(photo_model, place / "photo.safetensors")
    for name, (spoil, _) in BAD_PICTURES.items():
        (place / name).write_bytes(spoil(face))
    for name, (spoil, _) in BAD_MODELS.items():
        (place / f"bad-{name}.safetensors").write_bytes(spoil(model.read_bytes()))
    return place


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder."""
    files = {name: (folder / name).stat() for name in files_in(folder)}
    return {name: (told.st_size, told.st_mtime_ns) for name, told in files.items()}


@pytest.mark.parametrize(("line", "code", "words"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_refusals(
    line: str, code: int, words: str, scene: Path, command: Command, monkeypatch
) -> None:
    monkeypatch.chdir(scene)
    before = state(scene)
    result = command(*shlex.split(line))
    assert result.code == code, result.err
    at = 0
    for part in words.split("…"):
        assert part in result.error[at:], result.error
        at = result.error.index(part, at) + len(part)
    assert state(scene) == before


def test_bad_pictures_in_a_pipe(scene: Path) -> None:
    for name in ("truncated.jpg", "empty.png"):
        content = (scene / name).read_bytes()
        line = ("apply", "-", "--expr", "happy", "--model", scene / "model.safetensors")
        result = spawn(*line, input=content)
        assert result.code == 1
        assert result.error.startswith("the picture on stdin ")
        assert BAD_PICTURES[name][1] in result.error


def test_one_bad_pair_is_left_out_aloud(scene: Path, command: Command, tmp_path: Path) -> None:
    folder = shutil.copytree(scene / "drawn", tmp_path / "set")
    odd = Path("KDEF") / "AF01" / "AF01HAS.JPG"
    shutil.copy(scene / "odd" / odd, folder / odd)
    out = ("-o", tmp_path / "m.safetensors")
    result = command(*shlex.split(FIT), folder, "--expr", "happy", *out)
    assert result.code == 0
    (warning,) = [line for line in result.err.splitlines() if "warning" in line]
    assert "AF01NES.JPG is 64x64 but AF01HAS.JPG is 64x48" in warning
    assert command(*shlex.split(FIT), scene / "lonely", "--holdout", 0, *out).code == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html><body>Not found</body></html>", "download it again"),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_what_is_no_model_at_all_is_called_by_its_name(
    tmp_path: Path, command: Command, content: bytes, says: str, suffix: str
) -> None:
    file = tmp_path / f"m{suffix}"
    file.write_bytes(content)
    result = command("info", file)
    assert (result.code, says in result.error) == (1, True), result.error
