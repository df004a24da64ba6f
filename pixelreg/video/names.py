"""Which files are videos, and what a changed one is called."""

from __future__ import annotations

import os
from pathlib import Path

from pixelreg.errors import UsageError

_H264 = ("libx264", "libopenh264", "mpeg4")
_VPX = ("libvpx-vp9", "libvpx")
# Suffix: FFmpeg's name of the container, and encoders in order of preference.
CONTAINERS = {
    ".mp4": ("mp4", _H264),
    ".mov": ("mov", _H264),
    ".mkv": ("matroska", _H264),
    ".avi": ("avi", ("mpeg4",)),  # H.264 in AVI has no sure times
    ".webm": ("webm", _VPX),
}


def is_video(path: Path) -> bool:
    """Whether a path is by its name that of a video, and no folder."""
    return path.suffix.lower() in CONTAINERS and not path.is_dir()


def container_of(path: Path) -> tuple[str, tuple[str, ...]]:
    """FFmpeg's name of the container that a file's name asks for, and encoders for it."""
    try:
        return CONTAINERS[path.suffix.lower()]
    except KeyError:
        raise UsageError(f"{path}: a video's name must end in {', '.join(CONTAINERS)}") from None


def output_of(path: Path, output: str | None, label: str) -> Path:
    """Where a changed video goes: ``output``, into the folder ``output``, or beside the input."""
    if not path.exists():
        raise UsageError(f"no such file or folder: {path}")
    if output is None:
        return path.with_name(f"{path.stem}-{label}{path.suffix}")
    if Path(output).is_dir() or output.endswith(("/", os.sep)):
        return Path(output) / path.name
    container_of(Path(output))
    return Path(output)
