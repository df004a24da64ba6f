"""``pixelreg bench``: every table keeps its promises, and known numbers are what is counted."""

from __future__ import annotations

import csv
import html
import json
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from cli_tools import Command
from PIL import Image

from pixelreg.backends import get_backend
from pixelreg.bench import TABLES, TRAINED, table_of
from pixelreg.bench.models import ALL, READY, contender, contenders, words_of
from pixelreg.bench.page import Report
from pixelreg.bench.setting import Setting
from pixelreg.bench.sizes import WORK, plan_bytes_moved, plan_multiply_adds
from pixelreg.bench.table import Column, Figure, Table
from pixelreg.bench.timing import Taken, in_turn
from pixelreg.commands.bench import _possible
from pixelreg.data.layouts import scan
from pixelreg.data.pairs import pair
from pixelreg.data.pools import scan_all
from pixelreg.data.synthetic import synthesise
from pixelreg.errors import DataError, UnknownNameError, UsageError
from pixelreg.evaluation.features import frechet, kernel_distance
from pixelreg.evaluation.metrics import sharpness
from pixelreg.fitting.recipe import Recipe, choose_held_out
from pixelreg.models.file import save
from pixelreg.models.model import Model, Provenance
from pixelreg.models.plans import PLAN_CLASSES, AffinePlan
from pixelreg.regression import ESTIMATORS

pytest.importorskip("matplotlib", reason="the extra 'report' is not installed")
pytest.importorskip("jinja2", reason="the extra 'report' is not installed")
QUICK = ("rr", "kr:sigma=1")


class Lazily(dict[str, Table]):
    """Tables, each measured when it is looked at first."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def __missing__(self, name: str) -> Table:
        self[name] = table_of(name)(self.setting)
        return self[name]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench-faces")
    synthesise(folder, 8, ("neutral", "happy"), size=64, seed=4)
    return folder


@pytest.fixture
def setting(faces: Path, tmp_path: Path) -> Setting:
    return Setting(tmp_path, (faces,), QUICK, size=32, quick=True)


@pytest.fixture(scope="module")
def tables(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Lazily:
    folder = tmp_path_factory.mktemp("bench-tables")
    made = Setting(folder, (faces,), QUICK, size=32, quick=True, steps=3)
    return Lazily(made)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in TRAINED)) for name in TABLES]
)
def test_every_table_is_whole_and_tells_how(name: str, tables: Lazily) -> None:
    table = tables[name]
    assert table.name == name
    assert table.rows
    assert table.notes
    assert table.about
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert len({column.name for column in table.columns}) == len(table.columns)
    named = {str(cell) for row in table.rows for cell in row}
    assert name in ("sigma", *TRAINED) or set(QUICK) <= named
    if name in TRAINED:
        _check_trained(table)
    for figure in table.figures:
        assert figure.png.startswith(b"\x89PNG")
        assert figure.caption
    read = list(csv.reader(table.csv().splitlines()))
    assert len(read) == len(table.rows) + 1
    json.dumps(table.facts(), allow_nan=False)


def _check_trained(table: Table) -> None:
    """Rows of one table have learnt for equally long, or say that they did not."""
    steps = {
        (str(row["network"]), row["steps"]) for row in table.facts()["rows"] if "network" in row
    }
    counts = {
        count for name, count in steps if count and "CycleGAN" not in name and "%" not in name
    }
    assert len(counts) <= 1
    if table.name == "portrait":  # drawn faces have no masks
        assert [row["paper: FID"] for row in table.facts()["rows"]][:3] == [26.54, 26.04, 28.48]
        assert "Not measured: drawn faces" in table.notes[0] or "landmark" in table.notes[0]
        return
    assert table.figures
    ways = [row for row in table.facts()["rows"] if row.get("network") == "CycleGAN"]
    assert len(ways) in (0, 2)


@pytest.fixture(scope="module")
def room(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    from pixelreg.bench.taught import classroom

    folder = tmp_path_factory.mktemp("room")
    return classroom(Setting(folder, (faces,), QUICK, quick=True), scan(faces), "neutral")


def test_a_network_looked_at_on_the_way_is_one_that_was_trained_for_so_long(room: Any) -> None:
    options = {"width": 4, "batch": 2, "dropout": 0.0}
    early, late = room.teach("pix2pix", [2, 4], "happy", **options)
    (again,) = room.teach("pix2pix", [2], "happy", **options)
    np.testing.assert_array_equal(early.made, again.made)
    assert not np.array_equal(early.made, late.made)
    assert (early.steps, late.steps) == (2, 4)
    assert late.epochs == pytest.approx(4 / 3)  # of six people
    assert not list(room.folder.iterdir())


def test_networks_that_learn_from_the_same_pictures_read_them_once(room: Any) -> None:
    from deep_onnx.training.data import Learns

    labels = room.examples(Learns.LABELS, "neutral", "happy")
    assert room.examples(Learns.SEVERAL, "neutral", "happy") is labels
    assert room.examples(Learns.SEVERAL, "happy", "neutral") is not labels


def test_nobody_is_judged_whom_a_network_has_learnt_from(room: Any) -> None:
    for learns in type(next(iter(room.kept))[0]):
        if learns.name not in ("PICTURES", "MASKS"):
            learning, held_out = room.examples(learns, "neutral", "happy")
            assert set(held_out.people) == room.judged
            assert not set(learning.people) & room.judged
            assert not set(learning.stacks["happy"].people) & room.judged


def test_what_a_network_made_is_what_its_exported_file_makes(room: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from deep_onnx.export import export_onnx
    from deep_onnx.translator import load

    (one,) = room.teach("dense-ae", [2], "happy", width=8, latent=4, batch=2)
    file = export_onnx(one.algorithm.exports()[0], tmp_path / "m.onnx", Provenance(), {}, None)
    by_file = load(file.path, provider="cpu").run("happy", one.judged.sources)
    assert np.abs(by_file.astype(int) - one.made).max() <= 1


def test_means_of_curves_are_between_looks() -> None:
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    from deep_onnx.training.measured import _curves

    class Losses:
        names: ClassVar = {"train": ("l",), "validation": ("v",)}

        def arrays(self) -> dict[str, np.ndarray]:
            return {"validation": np.array([[0, 5.0], [2, 4.0], [4, 3.0]])}

        def series(self, part: str, name: str) -> tuple[np.ndarray, np.ndarray]:
            rows = {"train": [[1, 1], [2, 3], [3, 10], [4, 20], [5, 99]]}
            both = np.array(rows.get(part, [[0, 5], [2, 4], [4, 3]]), float)
            return both[:, 0], both[:, 1]

    found = _curves(Losses(), 2)  # type: ignore[arg-type]
    assert found == {"validation v": [(0, 5), (1, 4), (2, 3)], "training l": [(1, 2), (2, 15)]}


def test_the_papers_numbers_come_out() -> None:
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    from deep_onnx.counting import counted

    found = {one.name: one for one in counted()}
    known = {
        "StarGAN, 5 classes": 8_430_528,
        "StarGAN, 7 classes": 8_436_800,
        "GANimation": 8_471_296,
        # StarGAN's without five residual blocks of two 3 x 3 convolutions and norms of 256
        "US-GAN, 7 classes": 8_436_800 - 5 * 2 * (256 * 256 * 9 + 2 * 256),
        # US-GAN's, and seven layers of ten numbers a value
        "RegGAN, 7 classes": 8_436_800 - 5 * 2 * (256 * 256 * 9 + 2 * 256) + 7 * 10 * 128 * 128 * 3,
        "CycleGAN": 11_378_179,
        "pix2pix, depth 8": 54_413_955,
    }
    assert {name: found[name].parameters for name in known} == known


@pytest.mark.parametrize("name", ["StarGAN, 5 classes", "CycleGAN", "pix2pix, depth 7", "OCNN"])
def test_multiply_adds_are_those_that_pytorch_counts(name: str) -> None:
    torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")
    from torch.utils.flop_counter import FlopCounterMode

    from deep_onnx.counting import count, subjects

    one = subjects()[name]
    with torch.device("meta"):
        network = one.make().eval()
        given = [torch.zeros(1, 3, one.size, one.size)]
        given += [torch.zeros(1, one.entries)] if one.entries else []
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(*given)
        assert count(network, *given)[1] == counter.get_total_flops() / 2


def test_without_pytorch_sizes_are_told_but_for_networks(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    table = table_of("sizes")(setting)
    assert table.rows
    assert any("pixelreg[train" in note for note in table.notes)


def test_closed_forms_have_the_sizes_that_equations_give(setting: Setting) -> None:
    learning, _ = setting.split(setting.folds()[0], 128, setting.frame)
    values = 128 * 128 * 3
    ridge = Recipe("rr").fit(learning)
    assert (ridge.parameters, plan_multiply_adds(ridge)) == (98_304, values)
    assert plan_bytes_moved(ridge) == 4 * (2 * values + 2 * values)
    masked = Recipe("mr").fit(learning)
    assert (masked.parameters, plan_multiply_adds(masked)) == (491_520, 9 * values)
    sparse = Recipe("lsrf").fit(learning)
    assert sparse.parameters == 26 * values
    assert np.count_nonzero(sparse.weights) <= 4 * values
    assert set(WORK) == set(PLAN_CLASSES)


def test_nobody_is_judged_whom_the_model_has_learnt_from(faces: Path, tmp_path: Path) -> None:
    setting = Setting(tmp_path, (faces,), QUICK, size=32)
    judged: list[str] = []
    for fold in setting.folds():
        learning, held_out = setting.split(fold, 32, setting.frame)
        assert not set(learning.people) & set(held_out.people)
        assert learning.pairs
        judged += held_out.people
    assert sorted(judged) == sorted(one.person for one in setting.pairs)


def test_scores_are_those_of_scikit_image(setting: Setting, tables: Lazily) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    learning, judged = setting.learning(), setting.judged()
    made = get_backend().apply(Recipe("rr", size=32).fit(learning), judged.sources)
    each = [
        metrics.peak_signal_noise_ratio(truth, one, data_range=255)
        for truth, one in zip(judged.targets, made, strict=True)
    ]
    row = next(row for row in tables["quality"].facts()["rows"] if row["model"] == "rr")
    assert row["n"] == len(each)
    assert row["PSNR dB"] == pytest.approx(np.mean(each), abs=1e-9)
    left = [
        metrics.peak_signal_noise_ratio(truth, one, data_range=255)
        for truth, one in zip(judged.targets, judged.sources, strict=True)
    ]
    assert row["PSNR gain"] == pytest.approx(np.mean(each) - np.mean(left), abs=1e-9)


def test_all_people_of_few_are_those_of_quality(tables: Lazily) -> None:
    rows = tables["few"].facts()["rows"]
    counts = [row["learnt from"] for row in rows if row["model"] == "rr"]
    assert counts == [5, 6]  # there are no more
    last = [row for row in rows if row["model"] == "rr"][-1]
    whole = next(row for row in tables["quality"].facts()["rows"] if row["model"] == "rr")
    assert last["PSNR dB"] == pytest.approx(whole["PSNR dB"], abs=1e-9)
    sigmas = [row["sigma"] for row in tables["sigma"].facts()["rows"]]
    assert sigmas == [0.1, 0.3, 1.0, 3.0, 5.0, 10.0, None, None]


def test_a_model_is_fitted_to_the_same_people_once_for_all_tables(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[tuple[str, int, int]] = []
    fit = Recipe.fit

    def counted(recipe: Recipe, learning: Any) -> Any:
        fitted.append((recipe.kind, recipe.size, len(learning.pairs)))
        return fit(recipe, learning)

    monkeypatch.setattr(Recipe, "fit", counted)
    for name in ("sizes", "latency", "quality", "expressions", "outside"):
        table_of(name)(setting)
    assert sorted(fitted) == [(kind, size, 6) for kind in ("kr", "rr") for size in (32, 128)]
    table_of("few")(setting)
    assert sorted(fitted[4:]) == [("kr", 32, 5), ("rr", 32, 5)]


def test_held_out_people_are_those_of_fit(faces: Path, tmp_path: Path) -> None:
    setting = Setting(tmp_path, (faces,), QUICK, size=32, holdout=0.25, seed=3)
    listing = scan_all((faces,))
    people = [one.person for one in pair(listing, "neutral", "happy").pairs]
    assert setting.folds() == [choose_held_out(people, 0.25, 3)]
    assert set(setting.judged().people) == choose_held_out(people, 0.25, 3)
    assert "--holdout 0.25" in setting.told()


def test_every_expression_is_judged_and_a_file_may_be_for_one(tmp_path: Path) -> None:
    synthesise(tmp_path / "faces", 12, ("neutral", "happy", "surprised"), size=64, seed=2)
    # What learns nothing is seen as what it is; a file of one expression is judged on that alone.
    white = np.ones((32, 32, 3), np.float32)
    still = Model({"happy": AffinePlan(white, 0 * white)}, "neutral", "rr")
    save(still, tmp_path / "still-happy.safetensors")
    words = ("rr", str(tmp_path / "still-{expr}.safetensors"), "lsrf:pixels=2")
    setting = Setting(tmp_path, (tmp_path / "faces",), words, size=32, quick=True)
    table = table_of("expressions")(setting)
    rows = {row["model"]: row for row in table.facts()["rows"]}
    count = len(setting.judged().people)
    assert [rows[name]["n"] for name in ("rr", "still", "truth")] == [2 * count, count, 2 * count]
    assert rows["still"]["expressions"] == 1
    assert rows["still"]["surprised"] is None
    assert rows["still"]["PSNR gain"] == pytest.approx(0)
    assert rows["still"]["happy"] == rows["untouched input"]["happy"]
    assert rows["truth"]["seen"] > rows["untouched input"]["seen"] + 0.5
    assert rows["untouched input"]["person"] == 1
    assert any(line.startswith(words[1]) and "surprised" in line for line in table.notes)
    happy = next(r for r in table_of("quality")(setting).facts()["rows"] if r["model"] == "rr")
    other = replace(setting, target="surprised", kept={}, models=("rr",))
    rest = next(r for r in table_of("quality")(other).facts()["rows"] if r["model"] == "rr")
    assert rows["rr"]["PSNR dB"] == pytest.approx((happy["PSNR dB"] + rest["PSNR dB"]) / 2)


def test_that_the_rig_made_the_truth_is_said(faces: Path, tmp_path: Path) -> None:
    setting = Setting(tmp_path, (faces,), ("rr",), size=32, quick=True)
    assert not any("by the rig" in line for line in table_of("expressions")(setting).notes)
    (faces / "posed.csv").write_text("person,expression\n")
    try:
        told = table_of("expressions")(setting).notes
    finally:
        (faces / "posed.csv").unlink()
    assert any("the rig against itself" in line for line in told)


def test_what_all_means_and_what_is_refused() -> None:
    made, absent = contenders(ALL, 32, None, "happy")
    assert {one.name for one in made} | {line.split()[0] for line in absent} == {
        *ESTIMATORS,
        *READY,
    }
    assert contender("kr:sigma=0.5,alpha=1", 32, None, "happy").settings == "alpha 1, sigma 0.5"
    for word, error in (
        ("nothing", UnknownNameError),
        ("kr:width=1", UnknownNameError),
        ("kr:sigma=wide", UsageError),
    ):
        with pytest.raises(error):
            contender(word, 32, None, "happy")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("rr,mr", "flow"), ("rr", "mr", "flow")),
        (("kr:sigma=1,alpha=0.01",), ("kr:sigma=1,alpha=0.01",)),
        (("rr,kr:sigma=1,alpha=0.01,mr,",), ("rr", "kr:sigma=1,alpha=0.01", "mr")),
        (("rr, kr:sigma=1, alpha=0.01",), ("rr", "kr:sigma=1,alpha=0.01")),
        (("kr:sigma=1,a=b.onnx",), ("kr:sigma=1", "a=b.onnx")),
        (("a,b.onnx", "a,b-{expr}.onnx,rr"), ("a,b.onnx", "a", "b-{expr}.onnx", "rr")),
        (("c,d-{expr}.onnx",), ("c,d-{expr}.onnx",)),
        ((), ()),
    ],
)
def test_models_may_stand_in_one_word_with_commas(
    given: tuple[str, ...],
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a,b.onnx", "c,d-sad.onnx"):
        Path(name).write_bytes(b"")
    assert words_of(given) == words


def test_an_empty_list_of_models_is_not_all_of_them() -> None:
    with pytest.raises(UsageError, match="--models names none"):
        words_of((",",))


@pytest.mark.parametrize("name", ["quality", "latency"])
def test_a_model_that_cannot_be_judged_is_missed_by_name(name: str, setting: Setting) -> None:
    wrong = "kr:sigma=-1"
    one = replace(setting, models=("rr", wrong), missing={})
    table = table_of(name)(one)
    assert wrong in one.missing
    assert any(note.startswith(f"{wrong} could not be judged: sigma") for note in table.notes)
    assert "What is fitted here is not timed on cpu" not in " ".join(table.notes)


def test_a_table_whose_files_are_not_written_yet_is_not_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    made = Report(tmp_path, "", "", ("sizes",))
    monkeypatch.setattr("pixelreg.bench.page.write_bytes", stopped)
    with pytest.raises(KeyboardInterrupt):
        made.add(Table("sizes", "", "", (Column("a"),), ((1,),), (), ()))
    assert made.left == ["sizes"]


def test_an_onnx_file_takes_part(setting: Setting, tiny_onnx) -> None:
    pytest.importorskip("onnxruntime", reason="the extra 'deep' is not installed")
    from onnx_tools import identity

    file = tiny_onnx(identity(), multiple=4, size=32)
    other = replace(setting, models=(str(file),))
    rows = table_of("quality")(other).facts()["rows"]
    row = next(row for row in rows if row["model"] == file.stem)
    assert row["PSNR gain"] == pytest.approx(0, abs=1e-9)
    times = table_of("latency")(other)
    assert {row[1] for row in times.rows} >= {"onnxruntime, CPUExecutionProvider"}
    told = " ".join(times.notes)
    assert "CUDAExecutionProvider" in str(times.rows) or "not timed on cuda" in told


@pytest.mark.slow
def test_a_network_is_timed_with_random_weights(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript", reason="the extra 'train' is not installed")
    from deep_onnx import counting

    monkeypatch.setattr(counting, "TIMED", {"OCNN": 4})
    rows = table_of("latency")(replace(setting, models=("rr",), networks=True)).facts()["rows"]
    times = {row["model"]: row["median ms"] for row in rows if row["picture"] != "1280 x 720"}
    assert set(times) == {"rr", "OCNN"}
    assert times["OCNN"] > times["rr"]  # 8,880 times the multiply-adds
    file = contender(str(setting.scratch / "OCNN.onnx"), 32, None, "happy")
    assert file.facts()["parameters"] == 384_308


def test_peak_and_load_are_of_a_process_of_their_own(tables: Lazily) -> None:
    for row in tables["latency"].facts()["rows"]:
        assert 0 < row["load s"] < 60
        assert row["peak MB"] is None or 10 < row["peak MB"] < 500
        assert row["median ms"] > 0


def test_all_in_turn() -> None:
    asked: list[str] = []
    works = {name: (lambda name=name: asked.append(name)) for name in "ab"}
    taken = in_turn(works, 3)
    assert asked == [*"ab"] * 4
    assert {len(times) for times in taken.values()} == {4}
    assert len(in_turn(works, 9, slow=0.0)["a"]) == 4
    found = Taken.of(9.0, [3.0, 1.0, 2.0])
    assert (found.first, found.middle) == (9.0, 2.0)


def test_features() -> None:
    """FID by scipy's root of a matrix; KID near 0 for one distribution, and large for two."""
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(60, 5)), rng.normal(size=(80, 5)) @ rng.normal(size=(5, 5)) + 1
    first, second = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(first @ second).real
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)
    assert frechet(a, b) == pytest.approx(wanted, rel=1e-9)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    same, spread = kernel_distance(a, rng.normal(size=(60, 5)))
    assert abs(same) < 4 * spread
    assert kernel_distance(a, b)[0] > 10 * spread
    with pytest.raises(UsageError):
        frechet(a, b[:, :3])


def test_sharpness_falls_when_a_picture_is_blurred(large_face: np.ndarray) -> None:
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(large_face, (1, 1, 0))
    assert sharpness(blurred) < 0.5 * sharpness(large_face)
    assert sharpness(np.stack([large_face, blurred])).shape == (2,)


def test_a_page_escapes_what_comes_in_and_asks_nobody() -> None:
    bad = "<script>alert(1)</script>"
    figure = Figure("f", bad, b"\x89PNG")
    table = Table("sizes", bad, bad, (Column(bad),), ((bad,),), (bad,), (figure,), bad)
    made = Report(Path(), bad, bad, (bad,), [table], {bad: bad}).html()
    assert "<script" not in made
    assert "&lt;script&gt;" in made
    assert not re.search(r"(src|href)=\"(?!data:|#)", made)
    assert "default-src 'none'" in made


def test_a_folder_that_cannot_be_is_refused_before_anything_is_measured(
    faces: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    words = ("bench", "--data", faces, "--quick", "--tables", "sizes", "--model", "rr")
    done = command(*words, "-o", tmp_path / "file" / "report")
    assert done.code == 2
    assert f"{tmp_path / 'file'} is a file; -o takes a folder" in done.err
    assert "measuring" not in done.err


def test_the_command_writes_a_report(faces: Path, tmp_path: Path, command: Command) -> None:
    judge = tmp_path / "mine.py"
    judge.write_text("def bright(made, truth, source):\n    return made.mean(axis=(1, 2, 3))\n")
    features = tmp_path / "features.npz"
    rng = np.random.default_rng(0)
    np.savez(features, truth=rng.normal(size=(40, 3)), rr=rng.normal(size=(40, 3)))
    output = tmp_path / "report"
    words = ["--data", faces, "--size", 32, "--quick", "--models", "rr", "mr", "--json"]
    words += ["--tables", "quality", "--judge", f"bright={judge}:bright", "--features", features]
    done = command("bench", *words, "--pictures", "-o", output)
    assert done.code == 0, done.err
    facts = json.loads(done.out)["tables"][0]
    kept = json.loads((output / "report.json").read_text())
    assert kept["tables"] == [facts]
    assert kept["machine"]["cores"]
    row = {row["model"]: row for row in facts["rows"]}["rr"]
    assert row["features of"] == 40
    assert row["FID"] > 0
    pictures = sorted((output / "pictures" / "rr").glob("*.png"))
    means = [np.asarray(Image.open(path)).mean() for path in pictures]
    assert row["bright"] == pytest.approx(np.mean(means))
    text = (output / "report.html").read_text()
    assert facts["command"].startswith("pixelreg bench ")
    assert "--models rr --models mr" in facts["command"]
    assert text.count("pixelreg bench ") == 1 + len(facts["figures"])
    again = command("bench", *facts["command"].split()[2:], "--json", "-o", tmp_path / "again")
    assert again.code == 0, again.err
    assert json.loads(again.out)["tables"][0]["rows"] == facts["rows"]
    assert (output / "quality.csv").read_text() == (tmp_path / "again/quality.csv").read_text()


def _page(folder: Path) -> tuple[str, dict[str, Any]]:
    return (folder / "report.html").read_text(), json.loads((folder / "report.json").read_text())


def _in_place_of(name: str, act: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a table do something else than measure."""
    monkeypatch.setattr(
        "pixelreg.commands.bench.table_of", lambda n: act if n == name else table_of(n)
    )


def test_every_table_is_on_the_page_as_soon_as_it_is_measured(
    faces: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    def looks(setting: Setting) -> Table:
        seen.append(_page(tmp_path))
        return table_of("sigma")(setting)

    _in_place_of("sigma", looks, monkeypatch)
    words = ("--data", faces, "--size", 32, "--quick", "--models", "rr,kr:sigma=1")
    done = command("bench", *words, "--tables", "quality,sigma,few", "-o", tmp_path)
    assert done.code == 0, done.err
    (text, facts), (last, whole) = seen[0], _page(tmp_path)
    assert [table["table"] for table in facts["tables"]] == ["quality", "few"]
    assert facts["left"] == ["sigma"]
    assert "Still to come: sigma." in text
    assert "Still to come" not in last
    assert whole["left"] == []
    assert whole["tables"][:2] == facts["tables"]
    assert {row["model"] for row in facts["tables"][0]["rows"]} >= {"rr", "kr:sigma=1"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [(DataError("no <such> thing"), "no <such> thing"), (MemoryError(), "out of memory")],
)
def test_a_table_that_fails_is_named_and_the_others_go_on(
    error: Exception,
    reason: str,
    faces: Path,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(setting: Setting) -> Table:
        raise error

    _in_place_of("few", fails, monkeypatch)
    words = ("--data", faces, "--size", 32, "--quick", "--models", "rr", "--json")
    done = command("bench", *words, "--tables", "quality,few,sigma", "-o", tmp_path)
    assert done.code == 1
    assert f"failed: few: {reason}" in done.err.splitlines()
    text, facts = _page(tmp_path)
    assert [table["table"] for table in facts["tables"]] == ["quality", "sigma"]
    assert facts["failed"] == json.loads(done.out)["failed"] == {"few": reason}
    assert f"few could not be measured: {html.escape(reason)}" in text
    alone = command("bench", *words, "--tables", "few", "-o", tmp_path / "alone")
    assert alone.code == 1
    assert reason in alone.error
    assert not (tmp_path / "alone").exists()


def test_what_is_measured_stays_when_a_person_stops_it(
    faces: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(setting: Setting) -> Table:
        raise KeyboardInterrupt

    _in_place_of("few", stopped, monkeypatch)
    words = ("--data", faces, "--size", 32, "--quick", "--models", "rr")
    done = command("bench", *words, "--tables", "quality,few,sigma", "-o", tmp_path)
    assert done.code == 1
    assert done.error == (
        f"stopped before the end; what there is (quality) is in {tmp_path / 'report.html'}"
    )
    text, facts = _page(tmp_path)
    assert [table["table"] for table in facts["tables"]] == ["quality"]
    assert "Not measured, as it was stopped before: few, sigma." in text
    none = command("bench", *words, "--tables", "few,sigma", "-o", tmp_path / "none")
    assert "stopped before the end" in none.error
    assert not (tmp_path / "none").exists()


def test_who_stops_a_training_stops_the_report(room: Any) -> None:
    def press(done: int, total: int) -> None:
        if done == 1:
            signal.raise_signal(signal.SIGTERM)  # the loop hears it, and ends its step

    with pytest.raises(KeyboardInterrupt):
        replace(room, update=press).teach("pix2pix", [3], "happy", width=4, batch=2)


@pytest.mark.parametrize(
    ("absent", "left"), [("torch", TRAINED), ("cv2", ("ocnn",)), ("sklearn", ("ocnn",)), ("", ())]
)
def test_tables_that_cannot_be_made_are_left_out_before_the_work(
    absent: str, left: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str) -> object:
        return None if name == absent else object()

    monkeypatch.setattr("pixelreg.commands.bench.importlib.util.find_spec", found)
    assert set(TABLES) - set(_possible()) == set(left)


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_extra_is_told_before_the_work(
    package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: Command
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    done = command("bench", "--quick", "-o", tmp_path / "report")
    assert done.code == 1
    assert "pixelreg[report]" in done.error
    assert "measuring" not in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tables", "sizes,nothing"), "unknown table 'nothing'"),
        (("--models", "nothing"), "unknown model 'nothing'"),
        (("--judge", "mine"), "NAME=FILE.py:FUNCTION"),
        (("--judge", "mine=absent.py:f"), "there is no file absent.py"),
        (("--expr", "joy-of-life"), "joy-of-life"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: tuple[str, ...], said: str, faces: Path, tmp_path: Path, command: Command
) -> None:
    output = tmp_path / "report"
    fast = ("--size", 32, "--quick", "--tables", "quality", "--data", faces)
    done = command("bench", *fast, *words, "-o", output)
    assert done.code != 0
    assert said in done.error
    assert not output.exists()
