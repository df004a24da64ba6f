"""A model from pictures to pictures: arrays in and out, whatever its graph takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deep_onnx.card import Card
from deep_onnx.padding import from_values, pad, to_values
from deep_onnx.session import Session
from pixelreg.arrays import Array, Floats
from pixelreg.errors import InvalidArrayError, ModelFileError

BATCH_PIXELS = 2**19  # in one run: 32 pictures of 128 x 128


@dataclass(frozen=True, eq=False)
class Predictor:
    """An ONNX model on pictures.

    Attributes
    ----------
    card : what the model takes and gives.
    session : what runs it.
    """

    card: Card
    session: Session

    def predict(self, condition: Sequence[float], pictures: Array) -> Floats:
        """Run the network, several pictures at once.

        Parameters
        ----------
        condition : one number for every entry of the card's condition.
        pictures : (N, H, W, 3) uint8, or float in [0, 1].

        Returns
        -------
        (N, H, W, 3) float32 on [0, 1], unclipped. Sides that are no multiples of the card's are
        padded for the network and cut again.
        """
        card = self.card
        if pictures.ndim != 4 or pictures.shape[3] != 3 or 0 in pictures.shape[1:]:
            raise InvalidArrayError(f"pictures must be (N, H, W, 3), not {pictures.shape}")
        height, width = pictures.shape[1:3]
        if not card.dynamic and (height, width) != (card.size, card.size):
            raise InvalidArrayError(
                f"this model takes pictures of {card.size} x {card.size} pixels, "
                f"not {width} x {height}"
            )
        made = np.empty(pictures.shape, np.float32)
        count = self._at_once(height * width)
        for start in range(0, len(pictures), count):
            part = np.s_[start : start + count]
            made[part] = self._batch(condition, pictures[part])
        return made

    def warm_up(self) -> float:
        """Seconds that the first run took; on black, where there was none yet."""
        if self.session.warm_up_s is None:
            size = self.card.size
            black = np.zeros((1, size, size, 3), np.uint8)
            self._batch((0.0,) * len(self.card.condition), black)
        return self.session.warm_up_s or 0.0

    def _at_once(self, pixels: int) -> int:
        image = next(v for v in self.session.contents.inputs if v.name == self.card.image_input)
        return 1 if image.dims and image.dims[0] == 1 else max(1, BATCH_PIXELS // pixels)

    def _batch(self, condition: Sequence[float], pictures: Array) -> Floats:
        card, contents, name = self.card, self.session.contents, self.session.name
        elements = {value.name: value.element for value in contents.inputs}
        values, inside = pad(to_values(card, pictures, elements[card.image_input]), card.multiple)
        inputs = {card.image_input: values}
        if card.condition_input:
            numbers = np.array([condition] * len(values), elements[card.condition_input])
            inputs[card.condition_input] = numbers
        outputs = [value.name for value in contents.outputs]
        made = self.session.run(inputs)[outputs.index(card.output)]
        if made.shape != values.shape:
            raise ModelFileError(
                f"{name} gives {made.shape} for pictures of {values.shape}; "
                "the multiple that its description names may be wrong"
            )
        if not np.isfinite(made).all():
            raise ModelFileError(f"{name} gives values that are not finite")
        return from_values(card, made[inside])
