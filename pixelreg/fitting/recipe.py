"""From a folder of faces to a fitted model: pairs, crops, cross-validation, fit, plans."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from pixelreg import __version__
from pixelreg.arrays import Pixels
from pixelreg.backends import get_backend
from pixelreg.data.crops import Stack, read_photo
from pixelreg.data.download import data_source, source_names
from pixelreg.data.pairs import Pair, Pairing, grouped_folds, grouped_holdout, pair, targets
from pixelreg.data.photos import Listing, Problem
from pixelreg.errors import DataError, PixelregError
from pixelreg.evaluation.comparison import Scores, compare
from pixelreg.faces.locate import SMALLEST_EYE_DISTANCE, Locator
from pixelreg.models.model import Frame, Model, Provenance
from pixelreg.models.plans import Plan
from pixelreg.regression import estimator_class
from pixelreg.regression.validation import (
    ALPHAS,
    SIGMAS,
    Score,
    best,
    grouped_scores,
    leave_one_out_kernel_scores,
    leave_one_out_ridge_scores,
)

SAMPLE = 6  # pictures looked at before deciding whether a set shows photographs of faces
FOLDS = 5
PAPER_SIZE = 128
COMPUTING = ("backend", "threads")  # the estimators' parameters that leave the model as it is
FLOW_ALPHAS = (0.3, 1.0, 3.0, 10.0)  # each fit takes seconds


@dataclass(frozen=True)
class Recipe:
    """What to fit and how.

    Attributes
    ----------
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
        """All of the estimator's parameters by name, but for what they are computed with."""
        params: dict[str, Any] = estimator_class(self.kind)(**self.settings).get_params()
        return {name: value for name, value in params.items() if name not in COMPUTING}

    def estimator(self, **params: Any) -> Any:
        """The estimator with this recipe's parameters, or with those given instead."""
        made = estimator_class(self.kind)(**{**self.parameters(), **params})
        computing = {name: getattr(self, name) for name in COMPUTING}
        return made.set_params(**{n: v for n, v in computing.items() if n in made.get_params()})

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

    Attributes
    ----------
    plan : fitted on all pairs.
    recipe : with the parameters that cross-validation chose, if it was asked.
    pairs : all pairs.
    scores : the untouched input and a plan fitted without the held-out people, on those people.
    judged : the held-out people, or the first of them where they are many.
    tried : the scores of cross-validation.
    problems : the pairs that could not be used, by their file, and why.
    backend : the name of what solved the plan.
    """

    plan: Plan
    recipe: Recipe
    pairs: Sequence[Pair]
    scores: Sequence[Scores] = ()
    judged: Sequence[Judged] = ()
    tried: Sequence[Score] = ()
    problems: Sequence[Problem] = ()
    backend: str = "numpy"


def fit_target(
    target: str,
    stack: Stack,
    recipe: Recipe,
    held_out: frozenset[str] = frozenset(),
    cv_seed: int | None = None,
) -> Fitted:
    """Fit a target: once without the held-out people to judge it, then on everybody.

    Parameters
    ----------
    target : the expression.
    stack : its pairs.
    recipe : what to fit.
    held_out : people to judge on; nobody is judged where it is empty.
    cv_seed : seed of the cross-validation that chooses the parameters, or None for none.
    """
    judged = stack.select(held_out)
    learning = stack.select(frozenset(stack.people) - held_out)
    if not learning.pairs:
        raise DataError(f"{target}: no pair is left to learn from; use a smaller --holdout")
    tried: Sequence[Score] = ()
    if cv_seed is not None:
        tried = cross_validate(recipe, learning, cv_seed)
        recipe = recipe.tuned(best(tried))
    plan, backend = recipe.fitted(stack)
    rest: dict[str, Any] = {"tried": tried, "problems": stack.problems, "backend": backend}
    if not judged.pairs:
        return Fitted(plan, recipe, stack.pairs, **rest)
    made = get_backend(recipe.backend).apply(recipe.fit(learning), judged.sources)
    scores = compare(target, judged.sources, judged.targets, {f"pixelreg {recipe.kind}": made})
    rows = zip(judged.people, judged.sources, made, judged.targets, strict=True)
    people = [Judged(*row) for row in rows]
    return Fitted(plan, recipe, stack.pairs, scores, people, **rest)


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
    """The settings of Pixel-based Facial Expression Synthesis, section IV, for rr or kr.

    Lambda is 0.4 and pictures are 128 x 128; sigma is 3 for happy, 10 for other expressions.
    """
    settings: dict[str, Any] = {"alpha": 0.4}
    if kind == "kr":
        settings["sigma"] = 3.0 if target == "happy" else 10.0
    return Recipe(kind, settings, PAPER_SIZE)


def choose_kind(frame: Frame | None, settings: Mapping[str, Any]) -> str:
    """The best model that can be fitted: flow for photographs of faces, where OpenCV is there."""
    if "sigma" in settings:
        return "kr"
    if "prior" in settings or frame is None or find_spec("cv2") is None:
        return "rr"
    return "flow"


def choose_pairings(listing: Listing, source: str, wanted: Sequence[str]) -> dict[str, Pairing]:
    """The pairs of every wanted expression, or of every one that has any, by canonical name."""
    names = tuple(wanted) or targets(listing, source)
    pairings = {}
    for name in names:
        pairing = pair(listing, source, name)
        if not pairing.pairs:
            raise DataError(f"{listing.root} has no person with both {source!r} and {name!r}")
        pairings[pairing.pairs[0].target.expression] = pairing
    if not pairings:
        raise DataError(
            f"{listing.root} has no person with both {source!r} and another expression; "
            "see what was found with: pixelreg data list"
        )
    return pairings


def choose_frame(listing: Listing, pairs: Sequence[Pair], locator: Locator) -> Frame | None:
    """The canonical frame for photographs of faces, None for pictures already aligned.

    A set counts as photographs of faces if it has landmark files, or if faces are found in at
    least half of a few of its pictures.
    """
    if listing.aligned or not locator.align:
        return None
    step = max(1, len(pairs) // SAMPLE)
    sample = pairs[::step][:SAMPLE]
    if any(pair.source.landmarks is not None for pair in sample):
        return Frame()
    found = sum(_has_face(pair, locator) for pair in sample)
    return Frame() if 2 * found >= len(sample) else None


def cross_validate(recipe: Recipe, stack: Stack, seed: int) -> list[Score]:
    """Scores of the estimator's grid: exact leave-one-out, or K-fold grouped by person.

    Leave-one-out is by pair, so it is taken only where every person has one pair, and only for
    Pixel-RR and Pixel-KR, which have it in closed form. Pixel-KR is judged on every fourth pixel
    of pictures from 64 x 64 up.
    """
    if len(set(stack.people)) < 2:
        raise DataError(
            "cross-validation needs at least two people to learn from; "
            "add people, or choose the parameters yourself"
        )
    X, T = stack.rows()
    one_each = len(set(stack.people)) == len(stack.pairs)
    if recipe.kind == "kr":
        if recipe.size >= 64:
            X, T = (_thinned(side) for side in (stack.sources, stack.targets))
        if one_each:
            return leave_one_out_kernel_scores(X, T)
        grid = [{"alpha": a, "sigma": s} for a in ALPHAS for s in SIGMAS]
    elif recipe.kind == "rr" and one_each:
        prior = recipe.parameters()["prior"]
        return leave_one_out_ridge_scores(X, T, prior=prior)
    else:
        grid = [{"alpha": a} for a in (FLOW_ALPHAS if recipe.kind == "flow" else ALPHAS)]
    people = set(stack.people)
    folds = grouped_folds(sorted(people), min(FOLDS, len(people)), seed)
    return grouped_scores(recipe.estimator, grid, X, T, stack.people, folds)


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
    known = data_source(listing.layout) if listing.layout in source_names() else None
    return Provenance(
        training_set=known.title if known else listing.root.resolve().name,
        people=len({pair.person for pair in pairs}),
        pairs=len(pairs),
        licence=known.licence if known else "",
        attribution=known.attribution if known else "",
        pixelreg_version=__version__,
        date=datetime.date.today().isoformat(),
    )


def _has_face(pair: Pair, locator: Locator) -> bool:
    try:
        pixels = read_photo(pair.source)
    except PixelregError:
        return False  # an unreadable picture is reported when the pairs are read
    # A detector that cannot be had must not pass for one that finds nothing.
    found = locator.detector_.detect(pixels)
    return any(face.eye_distance >= SMALLEST_EYE_DISTANCE for face in found)


def _thinned(pictures: Any) -> Any:
    kept = pictures[:, ::2, ::2]
    return np.ascontiguousarray(kept).reshape(len(kept), -1)
