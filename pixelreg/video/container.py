"""Video files: their names, and what is read from and written to them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from pixelreg.errors import ImageError, PixelregError, UsageError, need
from pixelreg.files import open_regular, why
from pixelreg.video.frames import FORMATS
from pixelreg.video.names import container_of

# FFmpeg's options of containers.
_CONTAINER_OPTIONS = {
    # AVI holds no times: moved to 0, sound that begins early would leave a gap in the frames.
    ".avi": {"avoid_negative_ts": "disabled"},
    ".mts": {"mpegts_m2ts_mode": "1"},
    ".m2ts": {"mpegts_m2ts_mode": "1"},
}
_FRAMES_NOT_TIMES = frozenset({"avi", "mpeg"})  # containers of frames that are equally long


COPIED = ("audio", "subtitle")  # kinds of streams that go through as they are
MISSING = 0.5, 0.05  # seconds, and share of the whole, that may be missing at the end


def pyav() -> Any:
    """PyAV."""
    return need("av", "PyAV", "video", "changing a video")


@dataclass(frozen=True, eq=False)
class Source:
    """A video that is open.

    container : PyAV's, open for reading.
    """

    path: Path
    container: Any
    video: Any
    copied: tuple[Any, ...]

    @property
    def rate(self) -> Fraction:
        """Frames a second, on average."""
        return Fraction(self.video.average_rate or self.video.guessed_rate or 25)

    @property
    def count(self) -> int:
        """About how many frames there are; 0 where the file does not say."""
        if self.video.frames:
            return int(self.video.frames)
        return round(self._promised() * self.rate)

    def items(self) -> Generator[Any, None, None]:
        """Frames (``VideoFrame``) and packets of the copied streams (``Packet``), as they come.

        Frames have timestamps in the stream's time base that always rise.
        """
        frames, last, end = 0, None, 0.0
        try:
            for packet in self.container.demux(self.video, *self.copied):
                if packet.is_corrupt:
                    raise ImageError(self._broken(frames))
                if packet.pts is not None and packet.time_base is not None:
                    length = packet.duration or 0
                    end = max(end, float((packet.pts + length) * packet.time_base))
                if packet.stream_index != self.video.index:
                    if packet.dts is not None:  # the empty ones end a stream
                        yield packet
                    continue
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise ImageError(self._broken(frames))
                    last = self._stamp(frame, last)
                    frames += 1
                    yield frame
        except PixelregError:
            raise
        except Exception as error:  # FFmpeg's own, and PyAV's of what FFmpeg gave it
            raise ImageError(self._broken(frames)) from error
        if not frames:
            raise ImageError(f"{self.path} holds no frames")
        self._check_end(end, frames)

    def last_duration(self, frame: Any) -> int:
        """How long the last frame is shown, in the stream's time base.

        A frame's own duration is not to be trusted where frames are stored out of order.
        """
        video = self.video
        if video.duration:
            left = int((video.start_time or 0) + video.duration - frame.pts)
            if left > 0:
                return left
        return int(frame.duration or round(1 / (self.rate * video.time_base)))

    def _stamp(self, frame: Any, last: int | None) -> int:
        """Give a frame a timestamp after the last one's."""
        base = self.video.time_base
        if frame.pts is None:
            frame.pts = 0 if last is None else last + max(1, round(1 / (self.rate * base)))
        frame.time_base = base
        if last is not None and frame.pts <= last:
            frame.pts = last + 1
        return int(frame.pts)

    def _promised(self) -> Fraction:
        """Seconds that the file says it lasts, 0 where it does not say."""
        return Fraction(self.container.duration or 0, 1_000_000)

    def _check_end(self, end: float, frames: int) -> None:
        whole = float(self._promised())
        missing = whole + (self.container.start_time or 0) / 1e6 - end
        if missing > max(MISSING[0], MISSING[1] * whole):
            raise ImageError(self._broken(frames))

    def _broken(self, frames: int) -> str:
        return (
            f"{self.path} is damaged or not whole: it breaks off after {frames} frames"
            + (f" of about {self.count}" if self.count > frames else "")
            + "; repair it, or copy it anew"
        )


# Containers that hold what they show. Lists of other files (ffconcat, HLS, DASH, image sequences)
# and protocols that reach for them are none of these.
_FORMATS = "mov,matroska,avi,asf,flv,ogg,mpeg,mpegvideo,mpegts,gif,ivf,mxf"
_TAKEN = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
MOST_PIXELS = 2**26  # of a frame; 8K has half


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open a video for reading."""
    av = pyav()
    try:
        open_regular(path).close()
        container = av.open(f"file:{path}", options=_TAKEN, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be read as a video: {why(error)}") from error
    with container:
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        if not streams:
            raise ImageError(f"{path} has no video stream")
        video = streams[0]
        if video.codec_context is None:
            raise ImageError(f"{path} holds video of a kind that cannot be decoded here")
        context = video.codec_context
        if context.width * context.height > MOST_PIXELS:
            raise ImageError(f"{path} is {context.width}x{context.height}, too large for a video")
        context.options = {"max_pixels": str(MOST_PIXELS)}  # of frames that are larger than said
        video.thread_type = "AUTO"
        copied = [s for s in container.streams if s.type in COPIED and s.codec_context is not None]
        yield Source(path, container, video, tuple(copied))


# Quality at which a second look finds no loss, at a speed that two cores keep up with.
_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "18"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "7", "row-mt": "1"},
    **{
        name: {"flags": "+qscale", "global_quality": str(3 * 118)}
        for name in ("mpeg4", "wmv2", "mpeg2video")
    },
}
_BITS_A_PIXEL = 0.2  # for encoders that are told a rate and not a quality
_UNKNOWN = 2  # H.273's number for what is not said
_MATRIX = "DISPLAYMATRIX"


@dataclass(eq=False)
class Sink:
    """A video that is being written.

    container : PyAV's, open for writing.
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

    source : the video whose rate, sound and metadata it gets.
    first : the source's first frame, whose size, colours and rotation it gets.
    """
    av = pyav()
    name, encoders = container_of(path)
    try:
        options = _CONTAINER_OPTIONS.get(path.suffix.lower(), {})
        with av.open(file, "w", format=name, container_options=options) as container:
            container.metadata.update(source.container.metadata)
            made = _open(container, name, _encoder(encoders), source, first, path)
            yield made
    except av.FFmpegError as error:
        before = error.__context__  # what the disk said, of which FFmpeg says "callback" alone
        reason = why(before if isinstance(before, OSError) else error)
        raise ImageError(f"cannot write {path}: {reason}") from error


def _open(container: Any, name: str, encoder: str, source: Source, first: Any, path: Path) -> Sink:
    slots = 1 / source.rate if name in _FRAMES_NOT_TIMES else None
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
