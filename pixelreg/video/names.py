"""Names of video files: which are videos, and where a changed one goes."""

from __future__ import annotations

import os
from pathlib import Path

from pixelreg.errors import UsageError
from pixelreg.pictures.kinds import head_of, media_of

_H264 = ("libx264", "libopenh264", "mpeg4")
_VPX = ("libvpx-vp9", "libvpx")
# Suffix: FFmpeg's name of the container, and encoders in order of preference.
CONTAINERS = {
    ".mp4": ("mp4", _H264),
    ".m4v": ("mp4", _H264),
    ".mov": ("mov", _H264),
    ".qt": ("mov", _H264),
    ".3gp": ("3gp", _H264),
    ".mkv": ("matroska", _H264),
    ".avi": ("avi", ("mpeg4",)),  # H.264 in AVI has no sure times
    ".webm": ("webm", _VPX),
    ".mts": ("mpegts", _H264),
    ".m2ts": ("mpegts", _H264),
    ".ts": ("mpegts", _H264),
    ".wmv": ("asf", ("wmv2", "msmpeg4")),
    ".mpg": ("mpeg", ("mpeg2video", "mpeg1video")),
    ".mpeg": ("mpeg", ("mpeg2video", "mpeg1video")),
    ".flv": ("flv", _H264),
}
_ANY = ".mkv"  # holds what any other does


def is_video(path: Path) -> bool:
    """Whether a file is a video by its content, or, where it tells nothing, by its name."""
    if path.is_dir():
        return False
    return (media_of(head_of(path)) or _by_name(path)) == "video"


def _by_name(path: Path) -> str:
    return "video" if path.suffix.lower() in CONTAINERS else ""


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
    suffix = path.suffix if path.suffix.lower() in CONTAINERS else _ANY
    if output is None:
        return path.with_name(f"{path.stem}-{label}{suffix}")
    if Path(output).is_dir() or output.endswith(("/", os.sep)):
        return Path(output) / path.with_suffix(suffix).name
    container_of(Path(output))
    return Path(output)
