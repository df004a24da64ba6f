"""Sparse components of expressions: of meshes, of landmarks, or of the flow between photographs."""

from __future__ import annotations

from pixelreg.blendshape.components import Blendshapes
from pixelreg.blendshape.file import load, save
from pixelreg.blendshape.flow import flow_lattice, flow_parameters, learn_from_flow
from pixelreg.blendshape.learning import explained, learn

__all__ = [
    "Blendshapes",
    "explained",
    "flow_lattice",
    "flow_parameters",
    "learn",
    "learn_from_flow",
    "load",
    "save",
]
