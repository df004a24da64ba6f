"""From a folder of faces to a fitted model: pairs, crops, cross-validation, fit, plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pixelreg import __version__
from pixelreg.arrays import Pixels
from pixelreg.backends import get_backend
from pixelreg.data.crops import Stack, read_photo
from pixelreg.data.download import data_source, source_names
from pixelreg.data.pairs import (
    Pair,
    Pairing,
    grouped_folds,
    grouped_holdout,
    no_pairs,
    pair,
    targets,
)
from pixelreg.data.photos import Listing, Photo, Problem
from pixelreg.errors import DataError, PixelregError, UsageError
from pixelreg.evaluation.comparison import Scores
from pixelreg.faces.locate import SMALLEST_EYE_DISTANCE, Locator
from pixelreg.models.model import Frame, Model, Provenance, made_on
from pixelreg.models.plans import Plan
from pixelreg.models.sums import Sums
from pixelreg.regression import ESTIMATORS, estimator_class
from pixelreg.regression.estimator import Score
from pixelreg.regression.validation import grouped_scores

SAMPLE = 6  # pairs looked at before deciding whether a set shows photographs of faces
FOLDS = 5
PAPER_SIZE = 128
COMPUTING = ("backend", "threads")  # the estimators' parameters that leave the model as it is
UNTOLD = (*COMPUTING, "scale")  # crops are bytes, whose scale is known


@dataclass(frozen=True)
class Recipe:
    """What to fit and how.

    kind : short name of the estimator, a key of `pixelreg.regression.ESTIMATORS`.
    settings : the estimator's parameters that differ from the defaults.
    size : side of the crops in pixels.
    backend, threads : what the estimator computes with; they change speed, not the model.
    """

    kind: str = "rr"
    settings: Mapping[str, Any] = field(default_factory=dict)
    size: int = 128
    backend: str = "auto"
    threads: int | None = None

    def parameters(self) -> dict[str, Any]:
        """All of the estimator's parameters by name that tell one model from another."""
        params: dict[str, Any] = estimator_class(self.kind)(**self.settings).get_params()
        return {name: value for name, value in params.items() if name not in UNTOLD}

    def estimator(self, **params: Any) -> Any:
        """The estimator with this recipe's parameters, or with those given instead."""
        made = estimator_class(self.kind)(**{**self.parameters(), **params})
        computing = {name: getattr(self, name) for name in COMPUTING}
        return made.set_params(**{n: v for n, v in computing.items() if n in made.get_params()})

    @property
    def sums(self) -> type[Sums] | None:
        """What the estimator keeps of pairs; None for the pairs themselves."""
        return estimator_class(self.kind).sums

    def solved(self, sums: Sums) -> tuple[Plan, str]:
        """One target's plan from sums of crops of this size, and the backend that solved it."""
        estimator = self.estimator()
        backend = get_backend(self.backend, 0, self.threads, estimator.solving(sums))
        model = estimator.from_sums(sums, backend)
        return model.to_plan((self.size, self.size, 3)), backend.name

    def fitted(self, stack: Stack) -> tuple[Plan, str]:
        """One target's plan from a stack of crops of this size, and the backend that solved it."""
        model = self.estimator().fit(*stack.rows())
        return model.to_plan((self.size, self.size, 3)), getattr(model, "backend_", "numpy")

    def fit(self, stack: Stack) -> Plan:
        """Fit one target from a stack of crops of this size."""
        return self.fitted(stack)[0]

    def tuned(self, score: Score) -> Recipe:
        """This recipe with the parameters of a cross-validation score."""
        return replace(self, settings={**self.settings, **score.params})


@dataclass(frozen=True, eq=False)
class Judged:
    """A held-out person's crops, each (S, S, 3) uint8."""

    person: str
    source: Pixels
    made: Pixels
    truth: Pixels


@dataclass(frozen=True, eq=False)
class Fitted:
    """One target's plan, and what was measured on people it had not seen.

    recipe : with the parameters that cross-validation chose, if it was asked.
    scores : the untouched input and a plan fitted without the held-out people, on those people.
    judged : the held-out people, or the first of them where they are many.
    problems : the pairs that could not be used, by their file, and why.
    sums : of all pairs, where the estimator keeps sums.
    """

    plan: Plan
    recipe: Recipe
    pairs: Sequence[Pair]
    scores: Sequence[Scores] = ()
    judged: Sequence[Judged] = ()
    tried: Sequence[Score] = ()
    problems: Sequence[Problem] = ()
    backend: str = "numpy"
    sums: Sums | None = None


def choose_held_out(people: Sequence[str], share: float, seed: int) -> frozenset[str]:
    """The people to judge on: a share of them, or nobody for 0."""
    if share == 0:
        return frozenset()
    if len(set(people)) < 2:
        raise DataError(
            f"there is only one person, {people[0]!r}, so nobody is left to judge the model on; "
            "add people, or use --holdout 0"
        )
    return grouped_holdout(people, share, seed)[1]


def paper_recipe(kind: str, target: str) -> Recipe:
    """The settings of Pixel-based Facial Expression Synthesis, section IV, and its baselines'."""
    return Recipe(kind, estimator_class(kind).paper_settings(target), PAPER_SIZE)


def kinds_with_sums() -> tuple[str, ...]:
    """The kinds that keep sums of their pairs, which stream and merge."""
    return tuple(kind for kind in ESTIMATORS if estimator_class(kind).sums is not None)


def kinds_of_paper() -> tuple[str, ...]:
    """The kinds for which the paper gives settings."""
    return tuple(k for k in ESTIMATORS if estimator_class(k).paper_settings("happy") is not None)


def check_options(kind: str | None, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds that take all of these parameters: ``kind``, or any where it is None."""
    able = {name: estimator_class(name).options for name in ESTIMATORS}
    option = {key: text for options in able.values() for key, text in options.items()}
    owners = {key: [n for n, options in able.items() if key in options] for key in settings}
    fitting = tuple(name for name in able if all(name in owners[key] for key in settings))
    if kind is None and not fitting:
        whose = " and ".join(f"{option[key]} is {'/'.join(owners[key])}'s" for key in settings)
        raise UsageError(f"{whose}: give one of them")
    for key in settings:
        if kind is not None and kind not in owners[key]:
            raise UsageError(f"{option[key]} belongs to --model {' or '.join(owners[key])}")
    return fitting if kind is None else (kind,)


def choose_kind(frame: Frame | None, settings: Mapping[str, Any], among: Sequence[str] = ()) -> str:
    """The best model that can be fitted and takes the settings that were given, perhaps of some."""
    able = [kind for kind in check_options(None, settings) if kind in (among or ESTIMATORS)]
    return max(able, key=lambda kind: estimator_class(kind).preference(frame is not None))


def choose_pairings(listing: Listing, source: str, wanted: Sequence[str]) -> dict[str, Pairing]:
    """The pairs of every wanted expression, or of every one that has any, by canonical name."""
    if source == listing.source and source not in listing.expressions:
        raise no_pairs(listing, source)
    names = tuple(wanted) or targets(listing, source)
    pairings = {}
    for name in names:
        pairing = pair(listing, source, name)
        if not pairing.pairs:
            raise no_pairs(listing, source, name)
        pairings[pairing.pairs[0].target.expression] = pairing
    if not pairings:
        raise no_pairs(listing, source)
    return pairings


def choose_frame(listing: Listing, pairs: Sequence[Pair], locator: Locator) -> Frame | None:
    """The canonical frame for photographs of faces, None for pictures already aligned.

    A set counts as photographs of faces if it has landmark files, or if faces are found in both
    pictures of at least half of a few of its pairs: of drawings, detectors find some.
    """
    if listing.aligned or not locator.align:
        return None
    # Evenly from the first to the last, so that it is not the same person every time.
    places = np.linspace(0, len(pairs) - 1, min(SAMPLE, len(pairs))).round()
    sample = [pairs[int(place)] for place in places]
    if any(pair.source.landmarks is not None for pair in sample):
        return Frame()
    found = sum(_has_faces(pair, locator) for pair in sample)
    return Frame() if 2 * found >= len(sample) else None


def cross_validate(recipe: Recipe, stack: Stack, seed: int) -> list[Score]:
    """Scores of the estimator's grid: exact leave-one-out, or K-fold grouped by person.

    Leave-one-out is by pair, so it is taken only where every person has one pair, and only for
    kinds that have it in closed form.
    """
    if len(set(stack.people)) < 2:
        raise DataError(
            "cross-validation needs at least two people to learn from; "
            "add people, or choose the parameters yourself"
        )
    cls = estimator_class(recipe.kind)
    step = cls.thinning(recipe.size)
    X, T = (_thinned(side, step) for side in (stack.sources, stack.targets))
    if len(set(stack.people)) == len(stack.pairs):
        exact: list[Score] | None = cls.leave_one_out(X, T, recipe.parameters())
        if exact is not None:
            return exact
    people = set(stack.people)
    folds = grouped_folds(sorted(people), min(FOLDS, len(people)), seed)
    return grouped_scores(recipe.estimator, cls.grid, X, T, stack.people, folds)


def make_model(
    plans: Mapping[str, Plan],
    recipes: Mapping[str, Recipe],
    source: str,
    frame: Frame | None,
    listing: Listing,
    pairs: Sequence[Pair],
) -> Model:
    """A model of fitted plans with its provenance; recipes are by target, as plans are."""
    kind = next(iter(recipes.values())).kind
    settings = {target: recipe.parameters() for target, recipe in recipes.items()}
    return Model(plans, source, kind, settings, frame, provenance(listing, pairs))


def provenance(listing: Listing, pairs: Sequence[Pair]) -> Provenance:
    """Where a model learnt from these pairs of a listing comes from, as of today."""
    parts = listing.parts or (listing,)
    known = [data_source(p.layout) for p in parts if p.layout in source_names()]
    own = [p.root.resolve().name for p in parts if p.layout not in source_names()]
    return Provenance(
        training_set=" + ".join(dict.fromkeys([*(each.title for each in known), *own])),
        people=len({pair.person for pair in pairs}),
        pairs=len(pairs),
        licence="; ".join(dict.fromkeys(each.licence for each in known)),
        attribution="; ".join(dict.fromkeys(each.attribution for each in known)),
        pixelreg_version=__version__,
        date=made_on(),
    )


def _has_faces(pair: Pair, locator: Locator) -> bool:
    sides = dict.fromkeys((pair.source, pair.target))  # once, where it is a picture and itself
    return all(_has_face(photo, locator) for photo in sides)


def _has_face(photo: Photo, locator: Locator) -> bool:
    try:
        pixels = read_photo(photo)
    except PixelregError:
        return False  # an unreadable picture is reported when the pairs are read
    # A detector that cannot be had must not pass for one that finds nothing.
    found = locator.detector_.detect(pixels)
    return any(face.eye_distance >= SMALLEST_EYE_DISTANCE for face in found)


def _thinned(pictures: Pixels, step: int) -> Pixels:
    kept = pictures[:, ::step, ::step]
    return np.ascontiguousarray(kept).reshape(len(kept), -1)
