"""``pixelreg study``: a page that tells nobody whose pictures it shows, and its answers."""

from __future__ import annotations

import csv
import json
import math
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import Command

from pixelreg.errors import DataError, InvalidArrayError, UsageError
from pixelreg.models import file as modelfile
from pixelreg.study import build as making
from pixelreg.study.agreement import fleiss_kappa, krippendorff_alpha, wilson
from pixelreg.study.build import Trial, build
from pixelreg.study.tally import ALL, once_each, read_answers, read_key, tally

MODELS = ("Alpaca", "Bison", "Caribou")
# Fleiss (1971) as it is reprinted everywhere: ten patients, fourteen raters, five diagnoses.
FLEISS = (
    *((0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1)),
    *((7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7)),
)
# Krippendorff (2011), "Computing Krippendorff's alpha-reliability", C: four observers, some data
# missing.
KRIPPENDORFF = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def units_of_krippendorff() -> list[list[str]]:
    return [[each for each in unit if each != "."] for unit in zip(*KRIPPENDORFF, strict=True)]


def trials(count: int = 4) -> list[Trial]:
    rng = np.random.default_rng(1)

    def picture() -> np.ndarray:
        return rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)

    return [Trial(f"photo{k}.jpg", picture(), {m: picture() for m in MODELS}) for k in range(count)]


def told(key: dict[str, Any], rater: str, choose: Any) -> dict[str, Any]:
    """What a page saves for a rater who chooses a model for each trial and question."""
    answers = [
        {"trial": k, "question": q, "choice": trial["order"].index(choose(k, q)), "ms": 900}
        for k, trial in enumerate(key["trials"])
        for q in key["questions"]
    ]
    return {"format": making.FORMAT, "study": key["study"], "rater": rater, "answers": answers}


def test_published_agreements_come_out() -> None:
    units = [[c for c, n in enumerate(row) for _ in range(n)] for row in FLEISS]
    assert fleiss_kappa(units) == pytest.approx(0.210, abs=5e-4)
    assert krippendorff_alpha(units_of_krippendorff()) == pytest.approx(0.743, abs=5e-4)


def test_agreement_at_its_ends() -> None:
    same = [["a"] * 3, ["b"] * 3, ["a"] * 3]
    assert fleiss_kappa(same) == pytest.approx(1)
    assert krippendorff_alpha(same) == pytest.approx(1)
    assert fleiss_kappa([["a", "a"], ["a"]]) is None
    assert krippendorff_alpha([["a", "a"], ["a"]]) is None  # nothing but one answer
    assert krippendorff_alpha([["a"], ["b"]]) is None
    draw = random.Random(0)
    mixed = [[draw.choice("abc") for _ in range(20)] for _ in range(100)]
    assert abs(fleiss_kappa(mixed) or 1) < 0.02
    assert abs(krippendorff_alpha(mixed) or 1) < 0.02


@pytest.mark.parametrize(("chosen", "asked"), [(0, 9), (9, 9), (1, 10), (57, 100), (260, 800)])
def test_wilsons_interval_is_scipys(chosen: int, asked: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    wanted = stats.binomtest(chosen, asked).proportion_ci(0.95, method="wilson")
    assert wilson(chosen, asked) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(InvalidArrayError):
        wilson(asked + 1, asked)


def test_the_page_names_no_model_and_asks_nobody() -> None:
    page, key = build(trials(), "happy", seed=7)
    for word in (*MODELS, "photo0", 'seed":7'):
        assert word not in page
    assert "http" not in page.replace("http-equiv", "")
    assert key["models"] == list(MODELS)
    assert all(sorted(trial["order"]) == sorted(MODELS) for trial in key["trials"])
    assert build(trials(), "happy", seed=7) == (page, key)
    assert build(trials(), "happy", seed=8)[1]["study"] != key["study"]


def test_pictures_are_mixed_and_the_key_tells_how() -> None:
    shown = trials(40)
    page, key = build(shown, "happy", seed=0)
    data = json.loads(page.partition("const study = ")[2].partition(";\n")[0])
    for trial, known, made in zip(shown, key["trials"], data["trials"], strict=True):
        assert made["made"] == [making._data(trial.made[name]) for name in known["order"]]
    first = Counter(trial["order"][0] for trial in key["trials"])
    assert min(first[name] for name in MODELS) >= 5  # of 40; a third is expected


def test_words_cannot_leave_the_script() -> None:
    page, _ = build(trials(), "</script><b>", seed=0)
    assert page.count("</script>") == 1


def test_shares_are_those_that_were_drawn(tmp_path: Path) -> None:
    """Against a count of its own, with intervals by the formula as Wilson has it."""
    _, key = build(trials(10), "happy")
    draw = random.Random(3)
    chosen: Counter[tuple[str, str]] = Counter()
    some = []
    for number in range(25):
        picks = {
            (k, q): draw.choices(MODELS, (1, 2, 5))[0] for k in range(10) for q in key["questions"]
        }
        chosen.update((q, model) for (_, q), model in picks.items())
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(told(key, f"r{number}", lambda k, q, p=picks: p[k, q])))
        some.append((file, read_answers(file, key)))
    found = tally(once_each(some), key)
    assert (found.raters, found.answers, found.missing) == (25, 750, 0)
    for each in found.shares:
        if each.question == ALL:
            n, x = 750, sum(chosen[q, each.model] for q in key["questions"])
        else:
            n, x = 250, chosen[each.question, each.model]
        assert (each.chosen, each.asked) == (x, n)
        z, p = 1.959964, x / n
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        assert (each.low, each.high) == pytest.approx((middle - reach, middle + reach), abs=1e-6)
    assert abs(found.alpha[ALL] or 1) < 0.05  # they chose by chance
    assert sum(each.share for each in found.shares if each.question == "quality") == pytest.approx(
        1
    )


def test_answers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    _, key = build(trials(), "happy")
    good = told(key, "me", lambda k, q: "Bison")

    def written(name: str, **changes: Any) -> Path:
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps({**good, **changes}))
        return file

    for name, changes, said in (
        ("other", {"study": "0"}, "another study"),
        ("far", {"answers": [{"trial": 9, "question": "quality", "choice": 0}]}, "damaged"),
        ("below", {"answers": [{"trial": 0, "question": "quality", "choice": -1}]}, "damaged"),
        ("odd", {"answers": [{"trial": 0, "question": "taste", "choice": 0}]}, "damaged"),
        ("none", {"format": "x"}, "no file of a study"),
    ):
        with pytest.raises(DataError, match=said):
            read_answers(written(name, **changes), key)
    twice = [(written(n), read_answers(written(n), key)) for n in ("a", "b")]
    with pytest.raises(DataError, match="by the same rater"):
        once_each(twice)
    left = good["answers"][:5]
    part = read_answers(written("part", answers=[*left, None]), key)
    assert tally(part, key).missing == 4 * 3 - 5
    with pytest.raises(DataError, match="no key"):
        read_key(written("key"))


@pytest.fixture
def study(tmp_path: Path, command: Command, model: Path, drawn: Path) -> Path:
    """The folder of a study of two models on two drawn faces."""
    other = tmp_path / "other.safetensors"
    first = modelfile.load(model)
    lighter = np.float32(0.1)
    plans = {name: replace(p, bias=p.bias + lighter) for name, p in first.plans.items()}
    modelfile.save(replace(first, plans=plans), other)
    photos = [drawn / "KDEF" / who / f"{who}NES.JPG" for who in ("AF01", "AM01")]
    words = ("--models", model, other, "--expr", "happy", "-o", tmp_path / "study")
    done = command("study", "build", *photos, *words, "--no-align", "--seed", 3)
    assert done.code == 0, done.err
    return tmp_path / "study"


def test_the_commands_build_and_count(study: Path, tmp_path: Path, command: Command) -> None:
    key = json.loads((study / "key.json").read_text())
    assert key["models"] == ["drawn", "other"]
    page = (study / "study.html").read_text()
    assert "drawn" not in page
    assert "AF01" not in page
    answers = tmp_path / "answers"
    answers.mkdir()
    for number, name in enumerate(("drawn", "drawn", "other")):
        content = told(key, f"r{number}", lambda k, q, name=name: name)
        (answers / f"{number}.json").write_text(json.dumps(content))
    table = tmp_path / "shares.csv"
    words = (answers, "--key", study / "key.json")
    done = command("study", "collect", *words, "--csv", table)
    assert done.code == 0, done.err
    assert "0.67" in done.out
    assert "3 raters" in done.err
    found = json.loads(command("study", "collect", *words, "--json").out)
    assert found["shares"][0]["chosen"] == 4
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [int(row["chosen"]) for row in rows] == [each["chosen"] for each in found["shares"]]


def test_a_study_of_one_model_is_none(model: Path, drawn: Path, command: Command) -> None:
    photo = drawn / "KDEF" / "AF01" / "AF01NES.JPG"
    done = command("study", "build", photo, "--models", model, "--expr", "happy")
    assert done.code == 2
    assert "two models" in done.error
    with pytest.raises(UsageError):
        build([], "happy")


@pytest.fixture
def rater(study: Path):
    """The study's page in a browser the size of a phone, which asked nobody for anything."""
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    from browser_tools import CHROMIUM, browser

    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    wrong: list[str] = []
    with browser() as opened:
        seen = opened.new_context(viewport={"width": 390, "height": 844}, accept_downloads=True)
        page = seen.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.on(
            "request",
            lambda asked: (
                None
                if asked.url.startswith(("file:", "data:", "blob:"))
                else wrong.append(asked.url)
            ),
        )
        page.goto((study / "study.html").as_uri())
        page.wait_for_selector("html[data-ready]")
        yield page
        assert wrong == []


def test_a_rater_answers_by_key_and_by_hand(
    rater, study: Path, tmp_path: Path, command: Command
) -> None:
    """Chooses one model throughout, by its picture alone; the tally finds that model."""
    key = json.loads((study / "key.json").read_text())
    page = (study / "study.html").read_text()
    data = json.loads(page.partition("const study = ")[2].partition(";\n")[0])
    assert rater.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wanted = {
        made["made"][known["order"].index("other")]
        for made, known in zip(data["trials"], key["trials"], strict=True)
    }
    both = {picture for made in data["trials"] for picture in made["made"]}
    steps = len(key["trials"]) * len(key["questions"])
    for step in range(steps):
        assert rater.inner_text("#progress") == f"{step + 1} of {steps}"
        shown = rater.eval_on_selector_all("#choices img", "all => all.map((one) => one.src)")
        assert set(shown) <= both
        before = rater.get_attribute("#before", "src")
        trial = next(k for k, made in enumerate(data["trials"]) if made["before"] == before)
        place = [data["trials"][trial]["made"].index(src) for src in shown]
        number = shown.index(next(src for src in shown if src in wanted))
        assert sorted(place) == [0, 1]
        if step % 2:
            rater.keyboard.press(str(number + 1))
        else:
            rater.click(f"#choices button:nth-child({number + 1})")
        if step == 2:  # goes back, and chooses the same once more
            rater.keyboard.press("Backspace")
            assert rater.eval_on_selector_all("[aria-pressed=true]", "all => all.length") == 1
            rater.keyboard.press(str(number + 1))
    rater.reload()  # what was answered is still there
    rater.wait_for_selector("html[data-ready]")
    assert rater.is_visible("#save")
    with rater.expect_download() as waited:
        rater.click("#save")
    file = tmp_path / waited.value.suggested_filename
    waited.value.save_as(file)
    told_ = json.loads(file.read_text())
    assert sorted(told_["order"]) == [0, 1]
    assert isinstance(told_["seed"], int)
    assert "other" not in file.read_text()
    done = command("study", "collect", file, "--key", study / "key.json", "--json")
    found = json.loads(done.out)
    assert found["answers"] == steps
    assert {each["model"]: each["share"] for each in found["shares"]} == {
        "drawn": 0.0,
        "other": 1.0,
    }
