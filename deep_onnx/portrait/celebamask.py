"""CelebAMask-HQ's nineteen classes merged to the eleven labels.

Portrait k lies in ``CelebA-HQ-img/{k}.jpg``, each of its parts as a black and white picture of its
own in ``CelebAMask-HQ-mask-anno/{k // 2000}/{k:05d}_{part}.png``; a missing file is an absent part.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deep_onnx.portrait.labels import LABELS
from pixelreg.arrays import Array, Pixels
from pixelreg.errors import DataError
from pixelreg.pictures.image import read_file

IMAGES = "CelebA-HQ-img"
# Both spellings are about.
ANNOTATIONS = ("CelebAMask-HQ-mask-anno", "CelebAMaskHQ-mask-anno")
FOLDED = 2000  # portraits to a folder of parts

# In the order in which the set's authors merge them: where parts overlap, the later one is seen.
# Glasses are painted over the skin and under the eyes. What the eleven labels do not know is skin
# where it lies on the face (ears, glasses) and background where it does not (hats, jewellery,
# neck, clothes).
MERGED = (
    ("skin", "skin"),
    ("nose", "nose"),
    ("eye_g", "skin"),
    ("l_eye", "left-eye"),
    ("r_eye", "right-eye"),
    ("l_brow", "left-eyebrow"),
    ("r_brow", "right-eyebrow"),
    ("l_ear", "skin"),
    ("r_ear", "skin"),
    ("mouth", "mouth"),
    ("u_lip", "upper-lip"),
    ("l_lip", "lower-lip"),
    ("hair", "hair"),
    ("hat", "background"),
    ("ear_r", "background"),
    ("neck_l", "background"),
    ("neck", "background"),
    ("cloth", "background"),
)
_PAIRS = (("left-eye", "right-eye"), ("left-eyebrow", "right-eyebrow"))


def annotations_folder(root: Path) -> Path | None:
    """The folder of parts under ``root``, or None where there is none."""
    return next((root / name for name in ANNOTATIONS if (root / name).is_dir()), None)


def is_celebamask(root: Path) -> bool:
    """Whether ``root`` is laid out like CelebAMask-HQ."""
    return (root / IMAGES).is_dir() and annotations_folder(root) is not None


def read_merged(annotations: Path, number: int) -> Pixels:
    """The merged mask of portrait ``number``, in its parts' own size.

    Parameters
    ----------
    annotations : the folder ``CelebAMask-HQ-mask-anno``.

    Returns
    -------
    (H, W) uint8 labels; left and right are the picture's, whichever the files mean.
    """
    folder = annotations / str(number // FOLDED)
    mask: Pixels | None = None
    for part, label in MERGED:
        path = folder / f"{number:05d}_{part}.png"
        if not path.is_file():
            continue
        inside = read_file(path).pixels[..., 0] > 127
        if mask is None:
            mask = np.zeros(inside.shape, np.uint8)
        if inside.shape != mask.shape:
            raise DataError(
                f"{path} is {_extent(inside)}, but other parts of this portrait are {_extent(mask)}"
            )
        mask[inside] = LABELS.index(label)
    if mask is None:
        raise DataError(f"no parts {number:05d}_*.png in {folder}")
    return _picture_sides(mask)


def _picture_sides(mask: Pixels) -> Pixels:
    """Exchange left and right parts where the left ones are on the right of the picture."""
    for pair in _PAIRS:
        left, right = (np.flatnonzero((mask == LABELS.index(n)).any(axis=0)) for n in pair)
        if len(left) and len(right):
            break
    else:
        return mask
    if left.mean() <= right.mean():
        return mask
    exchange = np.arange(len(LABELS), dtype=np.uint8)
    for names in _PAIRS:
        one, other = (LABELS.index(name) for name in names)
        exchange[[one, other]] = other, one
    return exchange[mask]


def _extent(array: Array) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
