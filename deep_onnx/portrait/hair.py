"""Hair by its colour: what is in front of a plain backdrop, and neither skin nor clothes.

Landmarks say where the face is, not where its hair ends. The backdrop is a smooth surface of
colours, so that whoever stands before it stands out. There, hair and skin are told apart by two
histograms of colours, the skin's from the cheeks, the hair's from around the face, and by where
things usually are: a posterior for every pixel, smoothed.

Lengths are in eye distances, rows count downwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pixelreg.arrays import Array, Float64, Pixels
from pixelreg.errors import DataError

BINS = 24  # of each of L, a and b; a and b from -20 to 40
ROUNDS = 4  # of learning the hair's colours from what was taken for hair
PLAIN = 7.0  # distance from the backdrop's colour, in units of L
SPECK = 0.02  # square eye distances; smaller pieces and holes are none
LOG_ODDS = 6.0  # the most that a pixel's colour can say for or against hair


@dataclass(frozen=True, eq=False)
class Head:
    """What landmarks say about a head in an S x S picture.

    face, ears : (S, S) bool, their outlines filled; the face reaches up to the hairline.
    features : (S, S) bool, eyes, brows, lips.
    jaw : (S,) float64, for every column the jaw's row, infinite beside it.
    eye_distance : in pixels.
    """

    face: Array
    ears: Array
    features: Array
    jaw: Float64
    eye_distance: float
    brow_top: float
    brow_bottom: float
    ear_top: float
    ear_bottom: float
    mouth: float
    chin: float

    def pixels(self, lengths: float) -> int:
        """A length in eye distances as whole pixels, at least one."""
        return max(1, round(lengths * self.eye_distance))


def find_hair(pixels: Pixels, head: Head) -> tuple[Array, Array]:
    """Where the person is, clothes left out, and where the hair is: (S, S) bool each.

    pixels : (S, S, 3) uint8, before a plain backdrop.
    """
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(pixels.astype(np.float64), (1.0, 1.0, 0.0))
    lab = lab_of(smooth / 255.0)
    rows = np.arange(len(pixels))[:, None]
    inside = signed_distance(head.face) / head.eye_distance
    ear = signed_distance(head.ears) / head.eye_distance
    person = _person(lab, head)
    cells = tuple(np.moveaxis(_cells(lab), -1, 0))
    seen = person & (inside < -0.06) & (ear < -0.05) & (rows < head.ear_bottom)
    prior = _prior(inside, ear, head)
    log_odds = _log_odds(cells, seen, prior, inside, head)
    if log_odds is None or _bald(lab, log_odds, seen, head):
        return person, np.zeros_like(person)
    total = ndimage.gaussian_filter(np.where(person, log_odds, 0.0), head.pixels(0.02))
    hair = person & (total > 0)
    return person, _tidy(hair, inside, ear, head) & person


def _person(lab: Float64, head: Head) -> Array:
    """What stands out from the backdrop, without the light grey of white clothes."""
    outstanding = _distance_from_backdrop(lab, head) > PLAIN
    outstanding |= _filled(outstanding, head) & head.face  # a forehead may shine like the backdrop
    rows = np.arange(len(lab))[:, None]
    light, chroma = lab[..., 0], np.hypot(lab[..., 1], lab[..., 2])
    # Shoulders may reach above the chin; their shaded parts are looked for under it only.
    white = (rows > head.mouth) & (light > 60.0) & (chroma < 8.0)
    white |= (rows > head.chin) & (light > 45.0) & (chroma < 13.0)
    clothes = grown_by(opened(outstanding & white, 2), 3) & (rows > head.mouth)
    return outstanding & ~clothes


def _distance_from_backdrop(lab: Float64, head: Head) -> Float64:
    """From a quadratic surface through the colours beside and above the head."""
    size = len(lab)
    y, x = np.mgrid[:size, :size] / size - 0.5
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)
    free = ~grown_by(head.face | head.ears, head.pixels(0.1)) & (y * size + size / 2 < head.chin)
    edge = np.minimum(0.5 - np.abs(x), y + 0.5)  # from the nearest side, the lower one left out
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    known = free & (edge < 0.08) & (lab[..., 0] > 55.0) & (chroma < 12.0)
    for turn in range(6):
        if known.sum() < 0.01 * size * size:
            raise DataError("no plain light backdrop is found around the head")
        fitted, *_ = np.linalg.lstsq(terms[known], lab[known], rcond=None)
        off = lab - terms @ fitted
        away = np.sqrt(off[..., 0] ** 2 + 4.0 * off[..., 1] ** 2 + 4.0 * off[..., 2] ** 2)
        known = free & (away < PLAIN - 1.0) & ((edge < 0.15) | (turn >= 3))
    return away


def _prior(inside: Float64, ear: Float64, head: Head) -> Float64:
    """Log-odds of hair by place: above the face likely, on cheeks and neck hardly ever."""
    size = len(inside)
    rows = np.arange(size)[:, None]
    prior = np.where(inside > 0, -9.0, 2.0)
    forehead = (rows < head.brow_top) & (inside > 0)
    prior = np.where(forehead, -1.5 - 1.5 * np.minimum(inside / 0.4, 1.0), prior)
    prior = np.where((ear > 0) & (inside <= 0), -2.0, prior)
    under = (rows > head.ear_bottom) & (inside < 0)
    prior = np.where(under, 0.0, prior)
    prior = np.where(under & (inside > -0.12), -3.0, prior)  # stubble and shade along the jaw
    return np.where(rows > head.jaw[None, :], -5.0, prior)


def _log_odds(
    cells: tuple[Array, ...], seen: Array, prior: Float64, inside: Float64, head: Head
) -> Float64 | None:
    """Log-odds of hair by colour and place; None where no colours of hair are left."""
    rows = np.arange(len(inside))[:, None]
    bare = (inside > 0.12) & ~grown_by(head.features, head.pixels(0.08)) & (rows > head.brow_bottom)
    # Cheeks count for more than chins, which may be bearded.
    share = np.where(rows < head.mouth, 1.0, 0.25)
    skin = _histogram(cells, np.where(bare, share, 0.0))[cells]
    weight = np.ones_like(inside)
    total = prior
    for _ in range(ROUNDS):
        if (weight * seen).sum() < 0.013 * head.eye_distance**2:
            return None
        hair = _histogram(cells, weight * seen)[cells]
        colour = np.log(hair + 1e-6) - np.log(skin + 1e-6)
        total = np.clip(colour, -LOG_ODDS, LOG_ODDS) + prior
        weight = 1.0 / (1.0 + np.exp(-total))
    return total


def _bald(lab: Float64, log_odds: Float64, seen: Array, head: Head) -> bool:
    """Whether what looks like hair is a shining scalp: smooth, and lighter than the cheeks."""
    from scipy import ndimage

    rows = np.arange(len(lab))[:, None]
    light = lab[..., 0]
    crown = seen & (log_odds > 0) & (rows < head.brow_top)
    crown = shrunk_by(crown, head.pixels(0.03))
    cheeks = shrunk_by(head.face, head.pixels(0.12)) & (rows > head.brow_bottom)
    cheeks &= (rows < head.mouth) & ~grown_by(head.features, head.pixels(0.08))
    if not crown.any() or not cheeks.any():
        return False
    grain = np.abs(light - ndimage.gaussian_filter(light, 2.0))
    smooth = np.median(grain[crown]) < 1.3 * np.median(grain[cheeks])
    return bool(smooth and np.median(light[crown]) > np.median(light[cheeks]))


def _tidy(hair: Array, inside: Float64, ear: Float64, head: Head) -> Array:
    """Without thin rims of mixed pixels along the skin, stray pieces and small holes."""
    rows = np.arange(len(hair))[:, None]
    along = (inside > -0.12) | (ear > -0.12)
    hair = hair & ~(along & ~opened(hair, head.pixels(0.03)))
    area = SPECK * head.eye_distance**2
    # Some of every piece must be above or away from the jaw, where beards are.
    apart = (inside < -0.12) & (rows < head.jaw[None, :])
    return _filled(_pieces(hair, hair & apart, area), head)


def _filled(region: Array, head: Head) -> Array:
    """A region without its small holes, such as highlights."""
    holes = ~region
    return ~_pieces(holes, holes, SPECK * head.eye_distance**2)


def _pieces(region: Array, counted: Array, area: float) -> Array:
    """The connected pieces of a region that have ``area`` counted pixels or more."""
    from scipy import ndimage

    numbers, count = ndimage.label(region)
    enough: Array = np.bincount(numbers[counted], minlength=count + 1) >= area
    enough[0] = False
    return np.asarray(enough[numbers])


def _cells(lab: Float64) -> Array:
    """Which cell of the histogram a colour falls into: (..., 3) int."""
    scaled = (lab + np.array([0.0, 20.0, 20.0])) * (BINS / np.array([100.0, 60.0, 60.0]))
    return np.asarray(np.clip(scaled, 0, BINS - 1).astype(int))


def _histogram(cells: tuple[Array, ...], weight: Float64) -> Float64:
    from scipy import ndimage

    flat = np.ravel_multi_index(cells, (BINS,) * 3).ravel()
    counts = np.bincount(flat, weight.ravel(), BINS**3).reshape((BINS,) * 3)
    smooth = ndimage.gaussian_filter(counts, 1.0)
    return smooth / max(smooth.sum(), 1e-12)


def lab_of(colours: Float64) -> Float64:
    """sRGB (..., 3) on [0, 1] in CIE L*a*b* (D65)."""
    linear = np.where(colours > 0.04045, ((colours + 0.055) / 1.055) ** 2.4, colours / 12.92)
    matrix = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    relative = linear @ (matrix / matrix.sum(axis=1, keepdims=True)).T
    root = np.where(relative > 216 / 24389, np.cbrt(relative), relative * (841 / 108) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def signed_distance(region: Array) -> Float64:
    """Distance to a region's edge in pixels, positive inside: (S, S) float64."""
    from scipy import ndimage

    return ndimage.distance_transform_edt(region) - ndimage.distance_transform_edt(~region)


def grown_by(region: Array, radius: int) -> Array:
    """A region grown by a square of side 2 radius + 1."""
    from scipy import ndimage

    wide: Any = ndimage.maximum_filter(region.view(np.uint8), 2 * radius + 1)
    return np.asarray(wide > 0)


def shrunk_by(region: Array, radius: int) -> Array:
    """A region without what lies within a square of side 2 radius + 1 of its outside."""
    return ~grown_by(~region, radius)


def opened(region: Array, radius: int) -> Array:
    """A region without what is thinner than 2 radius + 1."""
    return grown_by(shrunk_by(region, radius), radius)
