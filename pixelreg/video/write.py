"""Writing a video: frames encoded, everything else copied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from pixelreg.errors import ImageError, UsageError
from pixelreg.video.names import container_of
from pixelreg.video.planes import FORMATS
from pixelreg.video.read import Source, pyav

# Quality at which a second look finds no loss, at a speed that two cores keep up with.
_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "18"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "7", "row-mt": "1"},
    "mpeg4": {"flags": "+qscale", "global_quality": str(3 * 118)},
}
_BITS_A_PIXEL = 0.2  # for encoders that are told a rate and not a quality
_UNKNOWN = 2  # H.273's number for what is not said
_MATRIX = "DISPLAYMATRIX"


@dataclass(eq=False)
class Sink:
    """A video that is being written.

    Attributes
    ----------
    container : PyAV's, open for writing.
    source : what it is made from.
    format : the pixel format of its frames.
    """

    container: Any
    source: Source
    format: str
    _video: Any
    _copies: dict[int, Any]
    _slots: Fraction | None = None
    _held: Any = None
    _slot: int = field(default=-(2**62))

    def prepared(self, frame: Any) -> Any:
        """A frame in this video's size and pixel format."""
        size = (self._video.width, self._video.height)
        if (frame.width, frame.height, frame.format.name) == (*size, self.format):
            return frame
        made = frame.reformat(*size, self.format)
        made.pts, made.time_base = frame.pts, frame.time_base
        return made

    def write(self, item: Any) -> None:
        """Encode a frame, or copy a packet."""
        if hasattr(item, "stream_index"):
            copy = self._copies.get(item.stream_index)
            if copy is not None:
                item.stream = copy
                self.container.mux(item)
            return
        held, self._held = self._held, item
        if held is not None:
            self._encode(held, item.pts - held.pts)

    def finish(self) -> None:
        """Encode what is still held back, and end the file."""
        if self._held is not None:
            self._encode(self._held, self.source.last_duration(self._held))
        self.container.mux(self._video.encode(None))
        self.container.close()

    def _encode(self, frame: Any, duration: int) -> None:
        """Encode a frame once it is known how long it is shown."""
        frame.duration = duration
        if self._slots is not None:
            self._slot = max(self._slot + 1, round(frame.pts * frame.time_base / self._slots))
            frame.pts, frame.time_base, frame.duration = self._slot, self._slots, 1
        frame.pict_type = 0  # the encoder chooses, whatever the frame was before
        self.container.mux(self._video.encode(frame))


@contextmanager
def sink(file: BinaryIO, path: Path, source: Source, first: Any) -> Iterator[Sink]:
    """Open a video for writing.

    Parameters
    ----------
    file : what is written to.
    path : what it will be called.
    source : the video whose rate, sound and metadata it gets.
    first : the source's first frame, whose size, colours and rotation it gets.
    """
    av = pyav()
    name, encoders = container_of(path)
    try:
        # AVI holds no times: moved to 0, sound that begins early would leave a gap in the frames.
        options = {"avoid_negative_ts": "disabled"} if name == "avi" else {}
        with av.open(file, "w", format=name, container_options=options) as container:
            container.metadata.update(source.container.metadata)
            made = _open(container, name, _encoder(encoders), source, first, path)
            yield made
    except av.FFmpegError as error:
        raise ImageError(f"{path} cannot be written: {error.strerror}") from error


def _open(container: Any, name: str, encoder: str, source: Source, first: Any, path: Path) -> Sink:
    slots = 1 / source.rate if name == "avi" else None  # AVI has frames, not times
    video = _add_video(container, encoder, source, first, slots)
    copies = {}
    for stream in source.copied:
        try:
            copy = container.add_stream_from_template(stream)
        except ValueError as error:
            if stream.type != "audio":
                continue
            raise UsageError(
                f"{path}: {path.suffix} cannot hold the {stream.codec_context.name} sound of "
                f"{source.path}; write a video that ends in {source.path.suffix} or .mkv"
            ) from error
        copy.metadata.update(stream.metadata)
        copies[stream.index] = copy
    return Sink(container, source, video.pix_fmt, video, copies, slots)


def _add_video(
    container: Any, encoder: str, source: Source, first: Any, slots: Fraction | None
) -> Any:
    video = container.add_stream(encoder, rate=source.rate, options=dict(_OPTIONS.get(encoder, {})))
    context = video.codec_context
    context.width, context.height = first.width, first.height
    context.pix_fmt = _pixel_format(encoder, first)
    context.time_base = slots or source.video.time_base
    context.sample_aspect_ratio = source.video.sample_aspect_ratio or Fraction(0, 1)
    kept = context.pix_fmt == first.format.name
    context.color_range = first.color_range if kept else 0
    for tag in ("color_primaries", "color_trc", "colorspace"):
        value = getattr(first, tag)
        setattr(context, tag, value if kept or value != 0 else _UNKNOWN)
    if encoder not in _OPTIONS:
        video.bit_rate = int(_BITS_A_PIXEL * first.width * first.height * source.rate)
    video.metadata.update({k: v for k, v in source.video.metadata.items() if k != "rotate"})
    matrix = display_matrix(first)
    if matrix is not None:
        video.set_display_matrix(matrix)
    return video


def display_matrix(frame: Any) -> list[int] | None:
    """The nine numbers that say how a frame is turned and mirrored to be shown, if any do."""
    import numpy as np

    for data in frame.side_data:
        if data.type.name == _MATRIX:
            return [int(value) for value in np.frombuffer(bytes(data), "<i4", 9)]
    return None


def _encoder(names: tuple[str, ...]) -> str:
    av = pyav()
    for name in names:
        try:
            av.Codec(name, "w")
        except ValueError:
            continue
        return name
    raise ImageError(f"this PyAV can encode none of {', '.join(names)}; install one that can")


def _pixel_format(encoder: str, first: Any) -> str:
    """The first frame's own pixel format, or the nearest that can be encoded and changed."""
    av = pyav()
    can = {form.name for form in av.Codec(encoder, "w").video_formats or ()} & set(FORMATS)
    form = first.format
    # x264 takes half-sized chroma of even pictures only.
    even = encoder != "libx264" or not (first.width % 2 or first.height % 2)
    if form.name in can and (even or "444" in form.name):
        return str(form.name)
    deep = max((part.bits for part in form.components), default=8) > 8
    chroma = "420" if even and not form.is_rgb and "444" not in form.name else "444"
    wanted = (f"yuv{chroma}p10le" if deep else "", f"yuv{chroma}p", "yuv420p")
    return next(name for name in wanted if name in can)
