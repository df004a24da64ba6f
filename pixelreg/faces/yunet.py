"""The YuNet face detector, run by OpenCV (Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face
Detector", 2023)."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pixelreg.errors import FaceError, MissingExtraError, ModelFileError, need
from pixelreg.faces.bundled import check_image, refine
from pixelreg.faces.cascade import DetectorWeights, load_weights
from pixelreg.faces.landmarks import Face

FILE_VARIABLE = "PIXELREG_DETECTOR"
_ADDRESS = "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/"

# The picture is searched at these longest sides; the last one only when the others found nothing
# that is sure.
_SIDES = (320, 640, 1280)
_SURE = 0.8
_OVERLAP = 0.4
ERRORS_ALONE = 2  # a level of OpenCV's log
_SEARCH_SCORE = 0.5


@dataclass(frozen=True)
class YuNetFile:
    """A published file: its name, SHA-256 and size, and the OpenCV major version that reads it."""

    name: str
    sha256: str
    size: int
    opencv: int

    @property
    def address(self) -> str:
        """Where it is downloaded from."""
        return _ADDRESS + self.name


# The 2026may file has dynamic shapes, which only the new engine of OpenCV 5 handles.
FILES = (
    YuNetFile(
        "face_detection_yunet_2026may.onnx",
        "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
        229_738,
        5,
    ),
    YuNetFile(
        "face_detection_yunet_2023mar.onnx",
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        232_589,
        4,
    ),
)


def published_file(opencv_version: str) -> YuNetFile:
    """The file for a version of OpenCV such as ``"4.10.0"``."""
    major, minor = (int(part) for part in opencv_version.split(".")[:2])
    if (major, minor) < (4, 8):
        raise MissingExtraError("OpenCV 4.8 or later", "align", "face detection with YuNet")
    return FILES[0] if major >= 5 else FILES[1]


def cache_folder() -> Path:
    """Where downloads are kept: PIXELREG_HOME if set, else the platform's cache folder."""
    home = os.environ.get("PIXELREG_HOME")
    if home:
        return Path(home).expanduser()
    # What pooch.os_cache gives; pooch itself takes longer to import than a crop to change.
    folders = need("platformdirs", "platformdirs", "align", "the cache of downloaded detectors")
    return Path(folders.user_cache_dir("pixelreg"))


def cached_file() -> Path | None:
    """The file for the installed OpenCV if it was downloaded before; no network."""
    try:
        folder = cache_folder()
        # OpenCV takes a while to import, so it is asked only when there is something to choose.
        if not any((folder / file.name).is_file() for file in FILES):
            return None
        path = folder / published_file(_opencv().__version__).name
    except MissingExtraError:
        return None
    return path if path.is_file() else None


def download() -> Path:
    """Fetch the file for the installed OpenCV into the cache and check its SHA-256."""
    file = published_file(_opencv().__version__)
    folder = cache_folder()
    pooch = need("pooch", "pooch", "align", "downloading YuNet")
    try:
        path = pooch.retrieve(
            file.address,
            known_hash=f"sha256:{file.sha256}",
            fname=file.name,
            path=folder,
            progressbar=False,
        )
    # requests' errors are OSErrors; a wrong hash is a ValueError.
    except (OSError, ValueError) as error:
        raise FaceError(
            f"YuNet could not be downloaded from {file.address} ({type(error).__name__}); "
            f"fetch it on another machine, then give it with --detector {file.name} "
            f"or put it into {folder}; or use --detector bundled, which needs no download"
        ) from error
    return Path(path)


def _opencv() -> Any:
    return need("cv2", "OpenCV", "align", "face detection with YuNet")


class YuNetDetector:
    """YuNet at several scales, so that small and very large faces are found.

    threshold : least score in [0, 1] of a face that is returned.
    refined : move the landmarks by the bundled detector's cascade, which is more exact on frontal
        faces and puts them where landmark files and the bundled detector have them.
    """

    name = "yunet"
    suffix = ".onnx"

    def __init__(self, file: Path, threshold: float = 0.7, refined: bool = True) -> None:
        cv2 = _opencv()
        if not Path(file).is_file():
            raise ModelFileError(f"{file}: no such detector file")
        self.file = Path(file)
        self.threshold = threshold
        # The network holds its input size between two calls, so threads have to take turns.
        self._turn = threading.Lock()
        self.weights: DetectorWeights | None = load_weights() if refined else None
        try:
            self._network = self._create(cv2)
        except cv2.error as error:
            raise ModelFileError(
                f"{file}: OpenCV {cv2.__version__} cannot read it as a YuNet detector; "
                f"this version needs {published_file(cv2.__version__).name}"
            ) from error

    @classmethod
    def at_hand(cls, file: Path | None) -> bool:
        """Where its file is given or, with OpenCV, named by the environment or cached."""
        if file is not None:
            return file.suffix != ".safetensors"
        if find_spec("cv2") is None:
            return False
        return bool(os.environ.get(FILE_VARIABLE)) or cached_file() is not None

    @classmethod
    def opened(cls, file: Path | None, loops: Any = None) -> YuNetDetector:
        """With ``file``, else the one that PIXELREG_DETECTOR names, else the one in the cache
        (PIXELREG_HOME, else the platform's), else one that is downloaded and checked by SHA-256."""
        named = os.environ.get(FILE_VARIABLE)
        if file is None and named:
            file = Path(named).expanduser()
        return cls(file or cached_file() or download())

    @classmethod
    def versions(cls) -> str:
        """OpenCV's."""
        return f"OpenCV {_opencv().__version__}"

    def _create(self, cv2: Any) -> Any:
        # OpenCV 5 warns of its own default target on every start; 4 has the level elsewhere.
        logging = getattr(cv2.utils, "logging", cv2)
        level = logging.getLogLevel()
        logging.setLogLevel(ERRORS_ALONE)
        try:
            network = cv2.FaceDetectorYN.create(str(self.file), "", (320, 320), _SEARCH_SCORE)
            # Only a first run shows that this OpenCV can use the file.
            network.setInputSize((64, 64))
            network.detect(np.zeros((64, 64, 3), np.uint8))
        finally:
            logging.setLogLevel(level)
        return network

    def detect(self, image: np.ndarray, largest: bool = False) -> list[Face]:
        """Faces of a picture (H, W, 3) uint8 RGB, largest first.

        Faces found at several scales are merged, their landmarks averaged. A face cut by the
        border is returned when both eyes are inside the picture. All are found even where
        ``largest`` is enough.
        """
        check_image(image)
        rows = np.empty((0, 15))
        longest = max(image.shape[:2])
        for k, side in enumerate(_SIDES):
            sure = len(rows) and rows[:, 14].max() >= _SURE
            if side == _SIDES[-1] and (sure or longest <= _SIDES[-2]):
                break
            if k and side > 2 * longest:
                break
            rows = np.vstack([rows, self.search(image, side)])
        faces = [_face(group) for group in _groups(rows)]
        faces = [face for face in faces if face.score >= self.threshold]
        if self.weights is not None:
            faces = refine(self.weights, image, faces)
        height, width = image.shape[:2]
        limits = np.array([width, height])
        kept = [face for face in faces if (face.eyes >= 0).all() and (face.eyes <= limits).all()]
        return sorted(kept, key=lambda face: -face.eye_distance)

    def search(self, image: np.ndarray, side: int) -> np.ndarray:
        """(n, 15) detections with the picture's longest side at ``side``, in its own pixels."""
        cv2 = _opencv()
        height, width = image.shape[:2]
        scale = side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(image, size, interpolation=how)
        with self._turn:
            self._network.setInputSize(size)
            found = self._network.detect(np.ascontiguousarray(small[..., ::-1]))[1]
        if found is None:
            return np.empty((0, 15))
        rows = np.asarray(found, dtype=np.float64)
        rows[:, 0:14:2] *= width / size[0]
        rows[:, 1:14:2] *= height / size[1]
        return rows


def _groups(rows: np.ndarray) -> list[np.ndarray]:
    """Detections of one face together, the best one first in each group."""
    groups: list[np.ndarray] = []
    left = rows[np.argsort(-rows[:, 14], kind="stable")]
    while len(left):
        same = _overlap(left[0, :4], left[:, :4]) >= _OVERLAP
        same[0] = True
        groups.append(left[same])
        left = left[~same]
    return groups


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box (x, y, w, h) with (n, 4)."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[:2] + box[2:], boxes[:, :2] + boxes[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    union = box[2] * box[3] + boxes[:, 2] * boxes[:, 3] - shared
    return np.asarray(shared / np.maximum(union, 1e-9))


def _face(group: np.ndarray) -> Face:
    """One face from the detections of it at several scales; YuNet's order of points is ours."""
    points = group[:, 4:14].mean(axis=0).reshape(5, 2)
    x, y, width, height = group[0, :4].tolist()
    return Face(points, (x, y, width, height), float(np.clip(group[0, 14], 0, 1)))
