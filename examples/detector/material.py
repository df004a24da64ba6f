"""Where the training material of the bundled detector comes from: smiling landmarks, people without
a face, and pictures of other things."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from examples.detector.data import (
    Portrait,
    faceless_person,
    london_photos,
    render_scenes,
    textures,
)
from examples.detector.fit import TrainingOptions, train_detector
from pixelreg.faces.cascade import DetectorWeights, as_grey, fit_poses
from pixelreg.faces.landmarks import read_landmarks
from pixelreg.faces.yunet import YuNetDetector

# Pictures without an upright frontal face that scikit-image and scikit-learn ship.
_SHIPPED = {
    ("skimage", "data"): """
        brick.png camera.png cell.png chelsea.png chessboard_GRAY.png chessboard_RGB.png
        clock_motion.png coffee.png coins.png color.png grass.png gravel.png horse.png
        hubble_deep_field.jpg ihc.png logo.png microaneurysms.png moon.png motorcycle_left.png
        page.png phantom.png retina.jpg rocket.jpg text.png
    """,
    ("sklearn", "datasets/images"): "china.jpg flower.jpg",
}
_SIDE = 640
_MIRROR = [1, 0, 2, 4, 3]


def shipped_pictures() -> dict[str, np.ndarray]:
    """Name -> (H, W, 3) uint8 of the faceless pictures in installed scikit-image, scikit-learn."""
    pictures = {}
    for (package, folder), names in _SHIPPED.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            for name in names.split():
                path = Path(spec.origin).parent / folder / name
                if path.is_file():
                    pictures[name] = _read(path)
    return pictures


def backgrounds(pictures: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """(h, w) uint8 pictures to put behind people: drawn textures and the given (H, W, 3) ones."""
    return textures(30, seed) + [as_grey(picture, _SIDE)[0] for picture in pictures]


def faceless_pictures(
    portraits: Sequence[Portrait],
    pictures: Sequence[np.ndarray],
    behind: Sequence[np.ndarray],
    seed: int,
) -> list[np.ndarray]:
    """(h, w) uint8 pictures to mine for false alarms.

    The given (H, W, 3) pictures in four turns, drawn textures, half of the people with the
    face covered, and a quarter lying or upside down, which is out of the detector's range.
    """
    rng = np.random.default_rng(seed)
    grey = [as_grey(picture, _SIDE)[0] for picture in pictures]
    turned = [np.ascontiguousarray(np.rot90(g, k)) for g in grey for k in (1, 2, 3)]
    covered = [faceless_person(portrait, behind, rng) for portrait in portraits[1::2]]
    lying = [
        np.ascontiguousarray(np.rot90((255 * portrait.grey).astype(np.uint8), 1 + k % 3))
        for k, portrait in enumerate(portraits[::4])
    ]
    return grey + turned + textures(60, seed + 100) + covered + lying


def train_from(
    portraits: Sequence[Portrait],
    pictures: Sequence[np.ndarray],
    scenes: int,
    seed: int,
    say: Callable[[str], None] = lambda line: None,
) -> DetectorWeights:
    """Render every portrait ``scenes`` times, gather pictures without a face, and train."""
    behind = backgrounds(pictures, seed)
    rendered = render_scenes(portraits, behind, scenes, seed)
    faceless = faceless_pictures(portraits, pictures, behind, seed)
    return train_detector(rendered, faceless, TrainingOptions(seed=seed), say)


def smiling_landmarks(folder: Path, yunet_file: Path) -> dict[str, np.ndarray]:
    """Person -> (5, 2) landmarks of the London set's smiling photos, which have no templates.

    YuNet, over several sizes and the mirrored photo, gives a start. Nose and mouth are then
    corrected by its mean deviation from the templates of the neutral photos; the eyes are found
    anew as the irises' discs (`find_iris`).
    """
    detector = YuNetDetector(yunet_file, threshold=0.5, refined=False)
    trios = london_photos(folder)
    neutral = np.stack([_averaged(detector, _read(photo)) for _, photo, _ in trios])
    truth = np.stack([read_landmarks(p.with_suffix(".tem")).points for _, p, _ in trios])
    frames = fit_poses(neutral)
    deviation = (frames.to_frame(truth) - frames.to_frame(neutral)).mean(axis=0)
    found = {}
    for person, _, photo in trios:
        image = _read(photo)
        start = _averaged(detector, image)[None]
        frame = fit_poses(start)
        points = frame.to_picture(frame.to_frame(start) + deviation)[0]
        grey = as_grey(image, max(image.shape))[0]
        distance = float(np.hypot(*(start[0, 1] - start[0, 0])))
        points[:2] = [find_iris(grey, eye, distance) for eye in start[0, :2]]
        found[person] = points
    return found


def _read(photo: Path) -> np.ndarray:
    with Image.open(photo) as file:
        return np.asarray(file.convert("RGB"))


def _averaged(detector: YuNetDetector, image: np.ndarray) -> np.ndarray:
    """(5, 2) median of YuNet's landmarks of the surest face at six sizes, mirrored and not."""
    width = image.shape[1]
    found = []
    for side in (400, 560, 720, 900, 1120, 1350):
        for mirrored in (False, True):
            rows = detector.search(image[:, ::-1] if mirrored else image, side)
            if not len(rows):
                continue
            points = rows[rows[:, 14].argmax(), 4:14].reshape(5, 2)
            if mirrored:
                points = np.stack([width - points[:, 0], points[:, 1]], axis=-1)[_MIRROR]
            found.append(points)
    return np.asarray(np.median(found, axis=0))


def find_iris(grey: np.ndarray, near: np.ndarray, eye_distance: float) -> np.ndarray:
    """The centre (2,) of the iris in a large photo: a dark disc whose sides step to light.

    grey : (H, W) uint8.
    near : (2,) a place within 0.16 eye distances of it; nearer ones are preferred.
    eye_distance : in pixels, 100 or more.
    """
    from scipy import ndimage

    reach, border = int(0.16 * eye_distance), int(0.12 * eye_distance)
    x0, y0 = int(near[0]), int(near[1])
    whole = reach + border
    window = np.pad(grey, whole, mode="edge")[y0 : y0 + 2 * whole + 1, x0 : x0 + 2 * whole + 1]
    smooth = ndimage.gaussian_filter(window.astype(np.float32), 2)
    gx, gy = ndimage.sobel(smooth, 1), ndimage.sobel(smooth, 0)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    # The lids hide the iris above and often below, so only its sides are looked at.
    side = np.linspace(-0.6, 0.9, 16)
    angle = np.concatenate([side, np.pi - side])
    best, place = -np.inf, np.zeros(2)
    for radius in np.arange(0.065, 0.1, 0.005) * eye_distance:
        at = [
            whole + dy[..., None] + radius * np.sin(angle),
            whole + dx[..., None] + radius * np.cos(angle),
        ]
        across = ndimage.map_coordinates(gx, at, order=1) * np.cos(angle)
        along = ndimage.map_coordinates(gy, at, order=1) * np.sin(angle)
        edge = np.clip(across + along, -20, 160).mean(axis=-1)
        dark = ndimage.gaussian_filter(smooth, radius / 2)[border:-border, border:-border]
        score = edge - 0.3 * dark - 36 * (dx**2 + dy**2) / (0.16 * eye_distance) ** 2
        if score.max() > best:
            best = float(score.max())
            row, column = np.unravel_index(score.argmax(), score.shape)
            place = np.array([x0 + column - reach, y0 + row - reach], np.float64)
    return place
