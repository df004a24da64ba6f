"""The models that take part: kinds that are fitted to the learning people, and files."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pixelreg.api import LOADERS, load
from pixelreg.arrays import Pixels
from pixelreg.backends import get_backend
from pixelreg.data.crops import Stack
from pixelreg.data.expressions import CANONICAL
from pixelreg.errors import MissingExtraError, UnknownNameError, UsageError, need
from pixelreg.faces.locate import Locator
from pixelreg.files import is_file
from pixelreg.fitting.recipe import Recipe
from pixelreg.models import NAMED
from pixelreg.models.file import save
from pixelreg.models.model import Frame, Model
from pixelreg.models.plans import Plan
from pixelreg.regression import ESTIMATORS, estimator_class
from pixelreg.translator import PlanTranslator, Translator

ALL, CUDA = "all", "cuda"
KEPT = 2  # plans of a contender: the first split's, which most tables ask for, perhaps at two sizes
EACH = "{expr}"  # in a file's name: the expression, where each has a file of its own
SETTING = re.compile(r"\w+=")  # of a kind, after another one
# Names of what comes along that are no kinds: what was fitted elsewhere has seen other people.
READY = tuple(name for name in NAMED if name not in ESTIMATORS)


@dataclass(frozen=True)
class Contender(ABC):
    """A model that takes part, by the name that stands in tables."""

    name: str
    target: str

    @property
    @abstractmethod
    def size(self) -> int:
        """Side of its crops in pixels."""

    @property
    @abstractmethod
    def frame(self) -> Frame | None:
        """Where the eyes stand in them."""

    @property
    @abstractmethod
    def settings(self) -> str:
        """What tells it from others of its kind."""

    @property
    def providers(self) -> tuple[str, ...]:
        """What may run it; ``cuda`` is tried, and need not be there."""
        return "cpu", CUDA

    @abstractmethod
    def made(self, learning: Stack, crops: Pixels) -> Pixels:
        """Its target made of crops of its size, having learnt from others if it learns."""

    @abstractmethod
    def translator(self, learning: Stack, locator: Locator, provider: str) -> Translator:
        """The same, for photos."""

    def plan(self, learning: Stack) -> Plan | None:
        """What it learns; None where it does not."""
        return None

    def facts(self) -> dict[str, Any]:
        """What it tells of itself, with its bytes where they are known."""
        return {}

    @abstractmethod
    def file(self, learning: Stack, folder: Path) -> str:
        """What `pixelreg.load` takes; a file in the folder, if there is none yet."""


@dataclass(frozen=True)
class Fitted(Contender):
    """A kind that is fitted to the learning people of every split."""

    recipe: Recipe
    eyes: Frame | None
    plans: dict[Any, Plan] = field(default_factory=dict, repr=False, compare=False)

    @property
    def size(self) -> int:
        return self.recipe.size

    @property
    def frame(self) -> Frame | None:
        return self.eyes

    @property
    def settings(self) -> str:
        values = self.recipe.parameters().items()
        told = {name: value for name, value in values if value not in (None, "auto")}
        return ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in told.items()
        )

    def plan(self, learning: Stack) -> Plan:
        """What it learns; of whom it learnt from first, that is kept."""
        key = self.size, learning.pairs
        if key in self.plans:
            return self.plans[key]
        plan = self.recipe.fit(learning)
        if len(self.plans) < KEPT:
            self.plans[key] = plan
        return plan

    def at(self, size: int) -> Fitted:
        """The same at another size."""
        return replace(self, recipe=replace(self.recipe, size=size))

    def made(self, learning: Stack, crops: Pixels) -> Pixels:
        return get_backend().apply(self.plan(learning), crops)

    def model(self, learning: Stack) -> Model:
        """What it learns, as a model."""
        return Model({self.target: self.plan(learning)}, kind=self.recipe.kind, frame=self.eyes)

    def translator(self, learning: Stack, locator: Locator, provider: str) -> Translator:
        backend = "cupy" if provider == CUDA else "auto"
        get_backend(backend)  # one that is missing is told before the work
        return PlanTranslator(self.model(learning), locator, backend, self.name)

    def file(self, learning: Stack, folder: Path) -> str:
        path = folder / f"{self.name}.safetensors"
        save(self.model(learning), path)
        return str(path)


@dataclass(frozen=True)
class Ready(Contender):
    """A model that was made before: whom it has learnt from, nobody here knows."""

    path: str
    loaded: Translator
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def size(self) -> int:
        return self.loaded.size

    @property
    def frame(self) -> Frame | None:
        return self.loaded.frame

    @property
    def settings(self) -> str:
        return "as it came"

    @property
    def providers(self) -> tuple[str, ...]:
        return ("cpu", CUDA) if self.options else ("cpu",)

    def facts(self) -> dict[str, Any]:
        file = Path(self.path)
        return {
            **self.loaded.describe(),
            "bytes": file.stat().st_size if file.is_file() else self.loaded.file_bytes,
        }

    def made(self, learning: Stack, crops: Pixels) -> Pixels:
        return self.loaded.run(self.target, crops)

    def translator(self, learning: Stack, locator: Locator, provider: str) -> Translator:
        chosen = {"provider": provider} if dict(self.options) else {}
        return load(self.path, locator=locator, **chosen)

    def file(self, learning: Stack, folder: Path) -> str:
        return self.path


def words_of(given: Sequence[str]) -> tuple[str, ...]:
    """Models as they were typed, where several may stand in a word with commas between.

    What follows a kind's settings and is one itself stays with them (``kr:sigma=1,alpha=0.01,mr``);
    a file that has commas in its name is one.
    """
    found: list[str] = []
    for word in given:
        if _is_there(word):
            found.append(word)
            continue
        several: list[str] = []
        for part in filter(None, map(str.strip, word.split(","))):
            if several and ":" in several[-1] and SETTING.match(part) and not _is_file_name(part):
                several[-1] += f",{part}"
            else:
                several.append(part)
        found += several
    if given and not found:
        raise UsageError(f"--models names none; choose among {', '.join((*ESTIMATORS, *READY))}")
    return tuple(found)


def _is_there(word: str) -> bool:
    """Whether a word is a file's name; of one for each expression, any of them."""
    return any(is_file(Path(word.replace(EACH, name))) for name in CANONICAL)


def _is_file_name(word: str) -> bool:
    return Path(word).suffix.lower() in LOADERS


def contenders(
    word: str, size: int, frame: Frame | None, target: str, provider: str = "auto"
) -> tuple[tuple[Contender, ...], tuple[str, ...]]:
    """The models that a word means, and why some of ``all`` cannot take part.

    word : a key of `ESTIMATORS`, which is fitted, perhaps with settings (``kr:sigma=1``); ``rig``;
        a model file; ``all`` for all kinds and what comes along.
    """
    if word != ALL:
        return (contender(word, size, frame, target, provider),), ()
    found: list[Contender] = []
    absent: list[str] = []
    for name in (*ESTIMATORS, *READY):
        try:
            found.append(contender(name, size, frame, target, provider))
        except MissingExtraError as error:
            absent.append(f"{name} does not take part: {error}")
    return tuple(found), tuple(absent)


def contender(
    word: str, size: int, frame: Frame | None, target: str, provider: str = "auto"
) -> Contender:
    """The model that a word means."""
    name, word = word.replace(EACH, ""), word.replace(EACH, target)
    kind, _, given = word.partition(":")
    if kind in ESTIMATORS:
        cls = estimator_class(kind)
        if cls.needs:
            need(cls.needs, cls.needs, "align", f"fitting {kind}")
        settings = {**(cls.paper_settings(target) or {}), **_settings(word, given)}
        return Fitted(word, target, Recipe(kind, settings, size), frame)
    if word not in NAMED and not _is_file_name(word):
        raise UnknownNameError("model", word, (ALL, *ESTIMATORS, *READY, "or a model file"))
    suffix = Path(word).suffix.lower()
    deep = _is_file_name(word) and not LOADERS[suffix].startswith("pixelreg.")
    options = {"provider": provider} if deep else {}
    loaded = load(word, **options)
    loaded.changer(target)  # an expression that it does not have must not wait for the pictures
    return Ready(
        Path(name).stem.rstrip("-_."),
        loaded.canonical(target),
        word,
        loaded,
        tuple(options.items()),
    )


def _settings(word: str, given: str) -> dict[str, Any]:
    """Parameters of a kind, as in ``kr:sigma=1,alpha=0.01``."""
    known = estimator_class(word.partition(":")[0])().get_params()
    settings: dict[str, Any] = {}
    for part in filter(None, given.split(",")):
        name, _, text = part.partition("=")
        if name not in known:
            raise UnknownNameError(f"setting of {word.partition(':')[0]}", name, known)
        try:
            settings[name] = type(known[name])(text)
        except (TypeError, ValueError):
            raise UsageError(f"{word}: {name} cannot be {text!r}") from None
    return settings
