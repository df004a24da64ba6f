"""Where the time of a flow plan goes: more is computed a pixel than memory could ever hide."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.timing import interleaved
from pixelreg.models.plans import FlowPlan
from pixelreg.pictures.warp import blur_weights


def flow_profile(plan: FlowPlan, picture: np.ndarray, rounds: int) -> dict[str, Any]:
    """Seconds of each loop of the Numba backend on one thread, and what it computes.

    plan : of pictures (H, W, 3).
    picture : (H, W, 3) uint8.
    """
    from pixelreg.backends import loops_flow

    height, width, _ = plan.shape
    border = 2 * loops_flow.BORDER
    packed = np.empty((height + border, width + border, loops_flow.PIXEL), np.uint8)
    low, colour = (np.empty(plan.shape, np.float32) for _ in range(2))
    out = np.empty(plan.shape, np.uint8)
    taps = blur_weights(float(plan.blur[0])).astype(np.float32)
    fields = (plan.displacement, taps, plan.weight, plan.bias, plan.spans)
    seconds = interleaved(
        {
            "pack the bytes": lambda: loops_flow.pack(0, len(packed), picture, packed),
            "bilinear look-up": lambda: loops_flow.move_rows(
                0, height, 0, width, picture, packed, fields, low
            ),
            "low-pass and change": lambda: loops_flow.change_rows(
                0, height, low, 0, fields, colour
            ),
            "cubic look-up and blend": lambda: loops_flow.blend_rows(
                0, height, picture, packed, fields, colour, 1.0, out
            ),
        },
        rounds,
    )
    moving = int(np.count_nonzero(plan.displacement.any(axis=2)))
    return {
        "seconds on one thread": seconds,
        "pixels that move": moving,
        "multiply-adds a moving pixel": {
            "bilinear look-up": 3 * 4,
            "low-pass and change": 3 * (2 * len(taps) + 1),
            "cubic look-up and blend": 3 * 16 + 24,
        },
    }
