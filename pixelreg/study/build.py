"""A page that shows people made pictures without saying whose they are, and the key to it.

The page holds no name of a model. The key, which stays with the researcher, says which picture is
whose; answers name pictures by their numbers alone.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from pixelreg.arrays import Pixels
from pixelreg.errors import UsageError
from pixelreg.pictures.image import Picture, encode

FORMAT = "pixelreg-study"
PAGE, KEY = "study.html", "key.json"
# The three attributes of Pixel-based Facial Expression Synthesis, section IV-C.
QUESTIONS = {
    "quality": "Which picture looks best, simply as a picture?",
    "expression": "Which face looks most genuinely {expression}?",
    "identity": "Which face looks most like the person above?",
}
POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
JPEG = "JPEG"


@dataclass(frozen=True, eq=False)
class Trial:
    """One photo, and what every model made of it, by the model's name; (H, W, 3) uint8 each."""

    photo: str
    before: Pixels
    made: Mapping[str, Pixels]


def build(trials: Sequence[Trial], expression: str, seed: int = 0) -> tuple[str, dict[str, Any]]:
    """The page, and its key.

    Pictures are mixed here, so that numbers in the page say nothing, and once more for every
    rater by the page itself.
    """
    models = list(trials[0].made) if trials else []
    if len(models) < 2:
        raise UsageError("a study needs a photo, and two models to choose between")
    rng = np.random.default_rng(seed)
    orders = [[models[int(k)] for k in rng.permutation(len(models))] for _ in trials]
    shown = [
        {"before": _data(trial.before), "made": [_data(trial.made[name]) for name in order]}
        for trial, order in zip(trials, orders, strict=True)
    ]
    questions = {name: text.format(expression=expression) for name, text in QUESTIONS.items()}
    about = {"questions": questions, "trials": shown}
    name = hashlib.sha256(json.dumps([about, seed]).encode()).hexdigest()[:16]
    key = {
        "format": FORMAT,
        "study": name,
        "seed": seed,
        "expression": expression,
        "models": models,
        "questions": list(questions),
        "trials": [
            {"photo": trial.photo, "order": order}
            for trial, order in zip(trials, orders, strict=True)
        ],
    }
    return page({"format": FORMAT, "study": name, **about}), key


def page(about: Mapping[str, Any]) -> str:
    """One HTML file: everything is inside, and it may ask nobody for anything."""
    style, script = _text("study.css"), _text("study.js")
    # Text in a script ends at </script>, wherever it stands.
    data = json.dumps(about).replace("<", "\\u003c")
    script = script.replace("__STUDY__", data)
    policy = POLICY.format(script=_hash(script), style=_hash(style))
    parts = {"__POLICY__": escape(policy, quote=True), "__STYLE__": style, "__SCRIPT__": script}
    made = _text("study.html")
    for mark, text in parts.items():
        made = made.replace(mark, text)
    return made


def _text(name: str) -> str:
    folder = files("pixelreg.study") / "templates"
    return (folder / f"{name}.txt").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data(pixels: Pixels) -> str:
    """A picture as a link; nothing of its file tells where it comes from."""
    return "data:image/jpeg;base64," + b64encode(encode(Picture(pixels), JPEG)).decode()
