"""What all ONNX models on photos have in common: they are as their card says."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from deep_onnx.card import Card
from deep_onnx.session import Session
from pixelreg.models.model import Frame
from pixelreg.translator import FaceTranslator


class CardTranslator(FaceTranslator):
    """An ONNX model on photos.

    Attributes
    ----------
    name : the model's file or another name for it.
    """

    name: str

    @property
    @abstractmethod
    def card(self) -> Card:
        """What the model is."""

    @property
    @abstractmethod
    def session(self) -> Session:
        """What runs the model."""

    @property
    def source(self) -> str:
        """What the model starts from."""
        return self.card.source

    @property
    def size(self) -> int:
        """Side of the crop in pixels."""
        return self.card.size

    @property
    def frame(self) -> Frame | None:
        """Where the eyes stand in the crop, or None for models that need no face."""
        return self.card.frame

    def computed_by(self, target: Any, pictures: int = 1) -> str:
        """What runs the model."""
        return f"onnxruntime, {self.session.providers[0]}"
