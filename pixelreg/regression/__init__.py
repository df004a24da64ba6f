"""Closed-form image-to-image regression: Pixel-RR, Pixel-KR and the paper's baselines."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixelreg.regression.flow import FlowRidge
    from pixelreg.regression.full import FullRidge
    from pixelreg.regression.kernel import PixelKernelRidge
    from pixelreg.regression.lsrf import SparseFieldRidge
    from pixelreg.regression.masked import MaskedRidge
    from pixelreg.regression.ridge import PixelRidge

__all__ = [
    "ESTIMATORS",
    "FlowRidge",
    "FullRidge",
    "MaskedRidge",
    "PixelKernelRidge",
    "PixelRidge",
    "SparseFieldRidge",
    "estimator_class",
]

ESTIMATORS = {
    "rr": "pixelreg.regression.ridge:PixelRidge",
    "kr": "pixelreg.regression.kernel:PixelKernelRidge",
    "mr": "pixelreg.regression.masked:MaskedRidge",
    "lsrf": "pixelreg.regression.lsrf:SparseFieldRidge",
    "full": "pixelreg.regression.full:FullRidge",
    "flow": "pixelreg.regression.flow:FlowRidge",
}
_HOMES = {path.partition(":")[2]: path.partition(":")[0] for path in ESTIMATORS.values()}


def estimator_class(name: str) -> type[Any]:
    """The estimator class of a short name."""
    from pixelreg.errors import UnknownNameError

    if name not in ESTIMATORS:
        raise UnknownNameError("model", name, ESTIMATORS)
    module, _, attribute = ESTIMATORS[name].partition(":")
    return getattr(import_module(module), attribute)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
