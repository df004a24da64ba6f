"""What OCNN can be told, and what it minimises."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from deep_onnx.architectures.patchgan import smallest_side
from deep_onnx.architectures.tuned_weights import LEAST
from deep_onnx.architectures.two_head import SCALES, multiple_of
from deep_onnx.training import algorithm, pictures
from deep_onnx.training.algorithm import argument
from pixelreg.errors import UsageError

SMALLEST = 32  # side of pictures in which flow can be found
SMOOTH = 0.2  # on [-1, 1]
TUNED = ("none", "initial", "head")


@dataclass(frozen=True)
class OCNNArguments(algorithm.Arguments):
    """What OCNN can be told. The paper gives none of these numbers."""

    width: int = argument(16, "Channels of the generator's first layer.")
    batch: int = argument(8, "Pictures a step.")
    learning_rate: float = argument(2e-3, "Step size of Adam.")
    blocks: int = argument(4, "Residual blocks in the middle of the generator.")
    scale: int = argument(
        1, "Mask and picture are made at one over this size: 2 and 4 are faster.", choices=SCALES
    )
    components: int = argument(6, "Blendshapes, the numbers that a face is made from.")
    sparsity: float = argument(0.1, "How sparse blendshapes are: 0 is dense, under 1.")
    reconstruction: float = argument(1.0, "Weight of the distance to the target.")
    recovered: float = argument(0.2, "Weight of coming back to the same picture.")
    attention: float = argument(0.001, "Weight of small masks, Eq. 15.")
    adversarial: float = argument(0.0, "Weight of deceiving a PatchGAN; 0 makes none.")
    penguins: str = argument(
        "none", "Penguins search the first weights, or the last layers.", choices=TUNED
    )
    penguin_evaluations: int = argument(256, "How many networks penguins may try.")


def distance(made: Tensor, truth: Tensor) -> Tensor:
    """L1 of differences above `SMOOTH`, squares of smaller ones (Huber), mean of all.

    An expression leaves most of a face as it is. Under plain L1 all those pixels pull as strongly
    as the few that should change, and the mask soon closes for ever.
    """
    return functional.smooth_l1_loss(made, truth, beta=SMOOTH)


def attention_loss(mask: Tensor, mask_back: Tensor) -> Tensor:
    """Eq. 15: (||G_m(I_org, p_trg)||_1 + ||G_m(I_gen, p_org)||_1) / (W H), mean over the batch.

    Both masks are (N, 1, h, w) on [0, 1]; W and H are the masks' own, so that the weight means the
    same at every scale.
    """
    return mask.abs().mean() + mask_back.abs().mean()


def check(chosen: OCNNArguments) -> None:
    """Raise UsageError for arguments that nothing can be made with."""
    if chosen.scale not in SCALES:
        raise UsageError(f"--scale is {chosen.scale}; it must be 1, 2 or 4")
    if chosen.components < 1:
        raise UsageError(f"--components is {chosen.components}; it must be 1 or more")
    if chosen.penguins not in TUNED:
        raise UsageError(f"--penguins is {chosen.penguins!r}; choose from {', '.join(TUNED)}")
    if chosen.penguins != "none" and chosen.penguin_evaluations < LEAST:
        raise UsageError(f"--penguin-evaluations must be {LEAST} or more")
    smallest = max(SMALLEST, smallest_side() if chosen.adversarial else 0)
    pictures.check(chosen, multiple_of(chosen.scale), smallest)
