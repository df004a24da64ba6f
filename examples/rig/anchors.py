"""Which points of a photograph tell where which vertices of the head lie.

Multi-PIE numbers of the 3D face against numbers of the London set's template of 189 points, found
by looking at both.
"""

from __future__ import annotations

MOUTH = {48: 87, 49: 88, 50: 89, 51: 90, 52: 91, 53: 92, 54: 93, 55: 108, 56: 107, 57: 106}
MOUTH |= {58: 105, 59: 104, 61: 95, 62: 96, 63: 97, 65: 102, 66: 101, 67: 100}
EYES = {36: 18, 37: 19, 38: 21, 39: 22, 40: 30, 41: 28, 42: 23, 43: 24, 44: 26, 45: 27, 46: 33}
EYES |= {47: 31}
BROWS = {17: 71, 19: 73, 21: 76, 22: 77, 24: 80, 26: 82}
NOSE = {31: 64, 33: 55, 35: 69}
JAW = {4: 125, 6: 127, 8: 129, 10: 131, 12: 133}
LIDS = {"upper left": 20, "lower left": 29, "upper right": 25, "lower right": 32}
BETWEEN = {30: (54, 60), 27: (51, 57)}  # the tip and the bridge of the nose

_ONE = {**MOUTH, **EYES, **BROWS, **NOSE, **JAW, **LIDS}
ANCHORS: tuple[int | str, ...] = (*_ONE, *BETWEEN)
MIXTURES: tuple[tuple[int, ...], ...] = (*((mark,) for mark in _ONE.values()), *BETWEEN.values())
