"""Sparse components of expressions: of meshes, of landmarks, or of the flow between photographs."""

from __future__ import annotations

from pixelreg.shapes.components import Blendshapes
from pixelreg.shapes.file import load, save
from pixelreg.shapes.flow import flow_lattice, flow_parameters, learn_from_flow
from pixelreg.shapes.learning import explained, learn

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
