"""How far two sets of pictures are apart, by features that somebody else's network gave.

No network comes along, and none is downloaded: features are rows of numbers, one a picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelreg.arrays import Float64
from pixelreg.errors import InvalidArrayError

FEWEST = 2
SUBSETS, SUBSET = 100, 1000  # of the kernel distance, as its authors draw them


def frechet(one: Any, other: Any) -> float:
    """Fréchet distance of two Gaussians fitted to (N, D) and (M, D) features: FID.

    |a - b|^2 + tr(A + B - 2 (A B)^(1/2)), Heusel et al. 2017. It is biased, the more the fewer
    pictures there are: with N no larger than D the covariances are not even of full rank.
    """
    a, b = _pair(one, other)
    first, second = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (a, b))
    # tr (A B)^(1/2) = tr (A^(1/2) B A^(1/2))^(1/2), which is symmetric.
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ second @ root)
    mixed = np.sqrt(np.clip(inner, 0, None)).sum()
    apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    return float(apart + np.trace(first) + np.trace(second) - 2 * mixed)


def kernel_distance(one: Any, other: Any, seed: int = 0) -> tuple[float, float]:
    """Unbiased squared MMD with the kernel (x.y / D + 1)^3, and its spread over subsets: KID.

    Binkowski et al. 2018. Subsets of at most 1,000 pictures; where all fit into one, each draws
    half of them, so that there is a spread to tell of.
    """
    a, b = _pair(one, other)
    smallest = min(len(a), len(b))
    size = SUBSET if smallest > SUBSET else max(FEWEST, smallest // 2)
    rng = np.random.default_rng(seed)
    drawn = [
        _squared_mmd(*(each[rng.choice(len(each), size, replace=False)] for each in (a, b)))
        for _ in range(SUBSETS)
    ]
    whole = _squared_mmd(a, b) if smallest <= SUBSET else float(np.mean(drawn))
    return whole, float(np.std(drawn))


def _squared_mmd(a: Float64, b: Float64) -> float:
    def kernel(x: Float64, y: Float64) -> Float64:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def others(values: Float64) -> float:
        count = len(values)
        return float((values.sum() - np.trace(values)) / (count * (count - 1)))

    return others(kernel(a, a)) + others(kernel(b, b)) - 2 * float(kernel(a, b).mean())


def _pair(one: Any, other: Any) -> tuple[Float64, Float64]:
    a, b = (np.asarray(each, np.float64) for each in (one, other))
    alike = a.ndim == b.ndim == 2 and a.shape[1:] == b.shape[1:]
    if not alike or min(len(a), len(b)) < FEWEST:
        raise InvalidArrayError(
            f"features must be (N, D), two pictures or more, not {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InvalidArrayError("features hold NaN or infinite values")
    return a, b
