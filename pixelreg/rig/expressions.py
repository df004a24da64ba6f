"""Expressions, single muscles and action units as weights of the head's shapes.

Shapes bear ARKit's names; ``_L`` is the person's left side. What an action unit is follows the
Facial Action Coding System (Ekman, Friesen and Hager 2002) as far as the shapes go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pixelreg.data.expressions import canonical
from pixelreg.errors import UnknownNameError
from pixelreg.rig.head import unsided

Weights = Mapping[str, float]


@dataclass(frozen=True)
class Expression:
    """A whole expression.

    weights : of shapes; bare names stand for both sides.
    wrinkles, shading : how deep wrinkles are and how strong shading is, against what is usual.
    """

    weights: Weights
    wrinkles: float = 1.0
    shading: float = 1.0


# Tuned against an expression network on 64 people, each expression within a bound on how much it
# may change who it is; see docs/rig.md.
EXPRESSIONS: Mapping[str, Expression] = {
    "neutral": Expression({}),
    "happy": Expression(
        {
            **{"mouthSmile": 0.74, "mouthDimple": 0.34, "cheekSquint": 0.34, "eyeSquint": 0.17},
            **{"mouthUpperUp": 0.09, "mouthLowerDown": 0.28, "jawOpen": 0.045},
        }
    ),
    "sad": Expression(
        {
            **{"browInnerUp": 0.7, "browDown": 0.4, "mouthFrown": 0.84, "mouthShrugLower": 0.92},
            **{"mouthStretch": -0.08, "mouthRollLower": 0.08, "mouthPress": 0.12},
            **{"eyeBlink": 0.06},
        },
        wrinkles=0.8,
    ),
    "surprised": Expression(
        {
            **{"browInnerUp": 0.46, "browOuterUp": 0.81, "eyeWide": 0.96, "jawOpen": 0.55},
            **{"mouthFunnel": 0.19, "mouthStretch": -0.27, "mouthUpperUp": 0.07},
        },
        wrinkles=0.4,
    ),
    "angry": Expression(
        {
            **{"browDown": 1.59, "eyeWide": 0.82, "mouthPress": 0.21, "noseSneer": 0.42},
            **{"mouthFrown": 0.58, "mouthLowerDown": 0.96, "mouthUpperUp": 0.41},
            **{"mouthRollUpper": 0.38, "mouthFunnel": 0.28, "cheekSquint": 0.32},
            **{"mouthStretch": -0.29, "jawOpen": 0.02, "eyeSquint": 0.06},
        },
        wrinkles=0.8,
        shading=0.42,
    ),
    "afraid": Expression(
        {
            **{"browInnerUp": 1.165, "browDown": 0.955, "eyeWide": 0.86, "mouthStretch": 0.592},
            **{"jawOpen": 0.344, "mouthLowerDown": 0.668, "mouthRollLower": 0.334},
            **{"mouthFrown": 0.478, "noseSneer": 0.191, "mouthFunnel": 0.076},
        },
        wrinkles=0.3,
    ),
    "disgusted": Expression(
        {
            **{"noseSneer": 0.99, "mouthFrown": 0.74, "cheekSquint": 0.67, "jawOpen": 0.15},
            **{"mouthStretch": -0.19, "mouthRollLower": 0.19, "browDown": 0.03},
        },
        wrinkles=1.3,
        shading=0.85,
    ),
    "contemptuous": Expression({"mouthSmile_L": 0.5, "mouthDimple_L": 0.5, "browOuterUp_R": 0.35}),
}

# AU12 and the like; AU12L and AU12R are its sides where it has any.
ACTION_UNITS: Mapping[str, Weights] = {
    "AU1": {"browInnerUp": 1.0},
    "AU2": {"browOuterUp": 1.0},
    "AU4": {"browDown": 1.0},
    "AU5": {"eyeWide": 1.0},
    "AU6": {"cheekSquint": 1.0},
    "AU7": {"eyeSquint": 1.0},
    "AU8": {"mouthClose": 1.0},
    "AU9": {"noseSneer": 1.0},
    "AU10": {"mouthUpperUp": 1.0},
    "AU12": {"mouthSmile": 1.0},
    "AU14": {"mouthDimple": 1.0},
    "AU15": {"mouthFrown": 1.0},
    "AU16": {"mouthLowerDown": 1.0},
    "AU17": {"mouthShrugLower": 1.0},
    "AU18": {"mouthPucker": 1.0},
    "AU20": {"mouthStretch": 1.0},
    "AU22": {"mouthFunnel": 1.0},
    "AU24": {"mouthPress": 1.0},
    "AU25": {"mouthLowerDown": 0.5, "mouthUpperUp": 0.2},
    "AU26": {"jawOpen": 0.35},
    "AU27": {"jawOpen": 0.8},
    "AU28": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    "AU29": {"jawForward": 1.0},
    "AU30L": {"jawLeft": 1.0},
    "AU30R": {"jawRight": 1.0},
    "AU34": {"cheekPuff": 1.0},
    "AU43": {"eyeBlink": 1.0},
}
_UNIT = re.compile(r"au0*(\d+)([lr]?)", re.IGNORECASE)


def expression_of(name: str) -> Expression | None:
    """The expression of a name or a synonym of it, or None."""
    return EXPRESSIONS.get(canonical(name))


def bare(shapes: Iterable[str]) -> tuple[str, ...]:
    """The names of shapes without their sides, each once."""
    return tuple(dict.fromkeys(map(unsided, shapes)))


class Vocabulary:
    """What a target may be called: expressions, shapes (bare or of one side), action units.

    shapes : the whole names of the head's shapes.
    """

    def __init__(self, shapes: Iterable[str]) -> None:
        self.shapes = tuple(shapes)

    def weights(self, name: str) -> dict[str, float]:
        """The whole names of the shapes that a name stands for, each with its weight."""
        unit = _UNIT.fullmatch(name)
        if unit:
            return self._unit(name, *unit.groups())
        known = expression_of(name)
        if known is not None:
            return self.spread(known.weights)
        by_case = {shape.lower(): shape for shape in (*self.shapes, *bare(self.shapes))}
        if name.lower() not in by_case:
            raise UnknownNameError("expression, muscle or action unit", name, self.names)
        return self.spread({by_case[name.lower()]: 1.0})

    @property
    def names(self) -> tuple[str, ...]:
        """All names, those of sides left out."""
        return (*EXPRESSIONS, *bare(self.shapes), *ACTION_UNITS)

    def spread(self, weights: Weights) -> dict[str, float]:
        """Weights of bare names given to both sides."""
        whole: dict[str, float] = {}
        for name, weight in weights.items():
            for shape in (name, name + "_L", name + "_R"):
                if shape in self.shapes:
                    whole[shape] = whole.get(shape, 0.0) + weight
        return whole

    def _unit(self, name: str, number: str, side: str) -> dict[str, float]:
        unit, side = f"AU{number}", side.upper()
        if unit + side in ACTION_UNITS:
            return self.spread(ACTION_UNITS[unit + side])
        if unit not in ACTION_UNITS:
            raise UnknownNameError("action unit", name, tuple(ACTION_UNITS))
        whole = self.spread(ACTION_UNITS[unit])
        own = {shape: weight for shape, weight in whole.items() if shape.endswith("_" + side)}
        if not own:
            raise UnknownNameError("action unit", name, tuple(ACTION_UNITS))
        return own
