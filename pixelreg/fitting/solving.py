"""From sums to plans."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pixelreg.arrays import Float64
from pixelreg.backends.array import ArrayBackend
from pixelreg.fitting.sumsfile import Sums
from pixelreg.models.plans import AffinePlan, KernelPlan, Plan, plan_array
from pixelreg.models.sums import PixelSums
from pixelreg.regression.estimator import check_positive
from pixelreg.regression.kernel import level_features
from pixelreg.regression.ridge import is_identity


def solve_sums(sums: Sums, params: Mapping[str, Any], size: int, backend: ArrayBackend) -> Plan:
    """The plan of Pixel-RR or Pixel-KR that a fit on the summed pairs would give.

    Parameters
    ----------
    sums : `PixelSums` for Pixel-RR, `LevelSums` for Pixel-KR, of crops ``size`` x ``size`` x 3.
    params : the estimator's parameters: alpha and prior, or alpha and sigma.
    backend : what solves.
    """
    shape = (size, size, 3)
    alpha = check_positive("alpha", params["alpha"])
    here = backend.to_device(sums)
    if isinstance(sums, PixelSums):
        solution = backend.solve_ridge(here, alpha, is_identity(params["prior"]))
        weight, bias = (backend.to_host(values).reshape(shape) for values in solution)
        return AffinePlan(plan_array(weight), plan_array(bias))
    table = _features(check_positive("sigma", params["sigma"]))
    found = backend.to_host(backend.solve_levels(here, table, alpha))
    return KernelPlan(plan_array(table), plan_array(found.reshape(*shape, table.shape[1])))


@lru_cache(maxsize=4)
def _features(sigma: float) -> Float64:
    """The table of features of a kernel width: a model's targets mostly share one."""
    return level_features(sigma).table
