"""Backends: one function set that runs plans, by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from pixelreg.change import Change
from pixelreg.errors import UnknownNameError
from pixelreg.plan import Plan

BACKENDS = {"numpy": "pixelreg.backends.numpy"}


class Backend(Protocol):
    """What a backend module offers."""

    def predict(self, plan: Plan, pictures: NDArray[Any]) -> NDArray[np.float32]:
        """Predictions of ``plan`` for (..., H, W, C) uint8 or [0, 1] float, unclipped, float32."""

    def apply(
        self, plan: Plan, pictures: NDArray[np.uint8], strength: float = 1.0
    ) -> NDArray[np.uint8]:
        """x + strength (y - x) for (..., H, W, C) uint8 pictures, rounded and clipped to uint8."""

    def change(self, plan: Plan, picture: NDArray[np.uint8]) -> Change:
        """What ``plan`` does to one (H, W, 3) uint8 crop, apart from the crop itself."""


def get_backend(name: str = "auto") -> Backend:
    """The backend of that name; ``"auto"`` takes the reference.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    """
    if name == "auto":
        name = "numpy"
    try:
        return cast(Backend, import_module(BACKENDS[name]))
    except KeyError:
        raise UnknownNameError("backend", name, ("auto", *BACKENDS)) from None
