"""Numbers and places that are held steady over time, without lagging behind what moves."""

from __future__ import annotations

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.faces.align import Similarity

CUTOFF = 0.5  # Hz, for a face at rest
SLOPE = 100.0  # Hz more for every eye distance (or unit of log scale, or radian) a second
SPEED_CUTOFF = 1.5  # Hz, for the speed itself


class OneEuro:
    """A low-pass whose cutoff rises with speed (Casiez, Roussel and Vogel, "1 Euro Filter: A Simple
    Speed-based Low-pass Filter for Noisy Input in Interactive Systems", CHI 2012).

    cutoff : Hz at rest; lower is steadier.
    slope : Hz for each unit a second of speed; higher lags less: at most 1 / (2 pi slope) units.
    speed_cutoff : Hz, of the low-pass on the speed.
    """

    def __init__(
        self, cutoff: float = CUTOFF, slope: float = SLOPE, speed_cutoff: float = SPEED_CUTOFF
    ) -> None:
        self.cutoff = cutoff
        self.slope = slope
        self.speed_cutoff = speed_cutoff
        self._value: Float64 | None = None
        self._speed: Float64 = np.zeros(1)

    def __call__(self, values: Array, step: float) -> Float64:
        """The next values, (k,), ``step`` seconds after those before; the first come back as is."""
        values = np.asarray(values, dtype=np.float64)
        if self._value is None or step <= 0:
            self._value = values if self._value is None else self._value
            return self._value
        share = _share(np.array(self.speed_cutoff), step)
        self._speed = self._speed + share * ((values - self._value) / step - self._speed)
        share = _share(self.cutoff + self.slope * np.abs(self._speed), step)
        self._value = self._value + share * (values - self._value)
        return self._value


def _share(cutoff: Float64, step: float) -> Float64:
    """How much of a new value is taken by a first-order low-pass."""
    turn = 2 * np.pi * cutoff * step
    return np.asarray(turn / (1 + turn))


class SteadySimilarity:
    """Similarities of one face over time, their place, scale and roll each smoothed by `OneEuro`.

    size : side of the crop; its centre is what is held steady.
    eye_distance : in crop pixels, the unit of place.
    """

    def __init__(self, size: int, eye_distance: float) -> None:
        self._centre = size / 2
        self._eyes = eye_distance
        self._filter = OneEuro()
        self._unit = 0.0
        self._roll = 0.0

    def __call__(self, similarity: Similarity, step: float) -> Similarity:
        """The smoothed one, ``step`` seconds after the one before."""
        self._unit = self._unit or similarity.scale * self._eyes
        turn = complex(similarity.a, similarity.b)
        place = turn * complex(self._centre, self._centre) + complex(similarity.c, similarity.d)
        # The roll goes on counting where the angle of a complex number starts again.
        self._roll += float(np.angle(turn * np.exp(-1j * self._roll)))
        x, y, size, roll = self._filter(
            np.array(
                [place.real / self._unit, place.imag / self._unit, np.log(abs(turn)), self._roll]
            ),
            step,
        ).tolist()
        turn = complex(np.exp(complex(size, roll)))
        shift = self._unit * complex(x, y) - turn * complex(self._centre, self._centre)
        return Similarity(turn.real, turn.imag, shift.real, shift.imag)


class SteadyPoints:
    """Many points of one face over time: how the head moves and how the face moves in it, each
    smoothed by a `OneEuro` of its own, so that neither makes the other lag.

    steady : (k,) how much each point says of where the head is.
    filter : of what moves in the head's frame, in eye distances.
    eyes : numbers of two points whose distance is the unit.
    """

    def __init__(self, steady: Array, filter: OneEuro, eyes: tuple[int, int] = (0, 1)) -> None:
        self._weights = steady / steady.sum()
        self._eyes = list(eyes)
        self._pose = SteadySimilarity(0, 1.0)
        self._inside = filter
        self._first: Array | None = None

    def __call__(self, points: Array, step: float) -> Float64:
        """The next points, (k, 2), ``step`` seconds after those before."""
        here = points @ np.array([1, 1j])
        if self._first is None:
            left, right = here[self._eyes]
            self._first = (here - self._weights @ here) / abs(right - left)
        middle = self._weights @ here
        turn = self._weights * self._first.conj() @ (here - middle)
        turn /= self._weights @ np.abs(self._first) ** 2
        pose = Similarity(turn.real, turn.imag, middle.real, middle.imag)
        inside = self._inside(pose.to_crop(points).reshape(-1), step)
        return self._pose(pose, step).to_photo(inside.reshape(-1, 2))
