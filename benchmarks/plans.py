"""What is measured: plans as fits give them, and pairs as smooth and correlated as faces."""

from __future__ import annotations

import numpy as np

from pixelreg.models.plans import (
    AffinePlan,
    FactoredPlan,
    FlowPlan,
    KernelPlan,
    Plan,
    SparsePlan,
)
from pixelreg.regression.kernel import level_features

PAIRS, SIDE = 400, 128


def training_pairs(
    pairs: int = PAIRS, values: int = SIDE * SIDE * 3
) -> tuple[np.ndarray, np.ndarray]:
    """(pairs, values) uint8 twice, smooth and correlated as faces are."""
    rng = np.random.default_rng(0)
    mean = rng.integers(60, 200, values)
    X = mean + rng.normal(0, 25, (pairs, 1)) + rng.normal(0, 20, (pairs, mean.size))
    T = 0.8 * X + 30 + rng.normal(0, 15, X.shape)
    return np.clip(X, 0, 255).astype(np.uint8), np.clip(T, 0, 255).astype(np.uint8)


def plans(shape: tuple[int, int, int]) -> dict[str, Plan]:
    """Plans as fits give them: RR, KR of sigma 3, and a flow that moves an ellipse."""
    height, width, _ = shape
    rng = np.random.default_rng(2)
    weight = rng.normal(0.7, 0.1, shape).astype(np.float32)
    bias = rng.normal(0.15, 0.05, shape).astype(np.float32)
    table = level_features(3.0).table.astype(np.float32)
    coefficients = rng.normal(0.03, 0.01, (*shape, table.shape[1])).astype(np.float32)
    down, right = np.mgrid[:height, :width].astype(np.float32)
    ellipse = ((right / width - 0.5) / 0.36) ** 2 + ((down / height - 0.5) / 0.48) ** 2
    mask = np.clip(4 * (1 - ellipse), 0, 1)[..., None]
    wave = np.stack([np.sin(right / 90 + down / 70), np.cos(right / 60 - down / 80)], axis=-1)
    flow = FlowPlan(
        (height / 80 * mask * wave).astype(np.float32),
        mask * (weight - 0.6),
        mask * (bias - 0.1),
        np.array([1.5], np.float32),
    )
    return {"RR": AffinePlan(weight, bias), "KR": KernelPlan(table, coefficients), "flow": flow}


def small_plans(side: int) -> dict[str, Plan]:
    """The kinds that only small pictures have: MR's neighbours, and full ridge's factors."""
    rng = np.random.default_rng(3)
    shape, rank = (side, side, 3), 40
    offsets = np.array([(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)], np.int8)
    weights = rng.normal(0.1, 0.05, (9, *shape)).astype(np.float32)
    bias = rng.normal(0.1, 0.05, shape).astype(np.float32)
    basis = rng.normal(0, 0.02, (rank, bias.size)).astype(np.float32)
    factors = rng.normal(0, 0.02, (rank, *shape)).astype(np.float32)
    return {"MR": SparsePlan(offsets, weights, bias), "full": FactoredPlan(basis, factors)}
