"""Frames a second of ``pixelreg apply`` on a video, and the processor time of every stage.

    python -m benchmarks.video FACE.jpg... --detector face_detection_yunet.onnx

Makes a clip of its own: each picture in turn moves, turns and zooms for some seconds before a grey
wall, at 1280x720 and 25 frames a second, with noise and a tone of 440 Hz. Then every stage runs
alone, then all together as the command does. It also says how steady the crop is: the movement
from frame to frame that the clip's own movement does not explain.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import machine
from pixelreg.api import load
from pixelreg.faces.align import Similarity
from pixelreg.faces.detect import asked_for
from pixelreg.faces.locate import Locator
from pixelreg.translator import Translator
from pixelreg.video.container import opened, sink
from pixelreg.video.convert import FrameChanger, change_video

RATE = 25
SIZE = (1280, 720)
SOUND = 48000


def pose(k: int, side: int) -> Similarity:
    """Where a square photo of ``side`` pixels lies in frame k."""
    seconds = k / RATE
    scale = 0.95 * (1 + 0.12 * np.sin(0.9 * seconds)) * SIZE[1] / side
    turn = scale * np.exp(1j * 0.08 * np.sin(0.7 * seconds))
    centre = complex(640 + 180 * np.sin(0.6 * seconds), 370 + 30 * np.sin(1.1 * seconds))
    shift = centre - turn * complex(side / 2, side / 2)
    return Similarity(turn.real, turn.imag, shift.real, shift.imag)


def draw(photo: Image.Image, k: int, rng: np.random.Generator) -> np.ndarray:
    """Frame k: the photo moved, before a wall, with noise."""
    place = pose(k, photo.width)
    square = place.a**2 + place.b**2
    a, b = place.a / square, place.b / square
    x, y = place.to_crop(np.zeros(2))
    matrix = (a, b, float(x), -b, a, float(y))
    how = Image.Resampling.BICUBIC
    moved = photo.transform(SIZE, Image.Transform.AFFINE, matrix, how, fillcolor=(128, 130, 134))
    noise = rng.normal(0, 2, (SIZE[1], SIZE[0], 1)).astype(np.float32)
    return np.clip(np.asarray(moved) + noise, 0, 255).astype(np.uint8)


def make_clip(photos: Sequence[Path], path: Path, frames: int) -> None:
    """Write the test clip: each photo for an equal share of the frames, and a tone."""
    import av

    rng = np.random.default_rng(0)
    pictures = []
    for photo in photos:
        with Image.open(photo) as file:
            picture = file.convert("RGB")
        pictures.append(picture.resize((900, 900), Image.Resampling.LANCZOS))
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "20"})
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=SOUND)
        for k in range(frames):
            picture = pictures[k * len(pictures) // frames]
            frame = av.VideoFrame.from_ndarray(draw(picture, k, rng), "rgb24")
            frame.pts, frame.time_base = k, Fraction(1, RATE)
            container.mux(video.encode(frame))
            container.mux(sound.encode(tone(k)))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))


def tone(k: int) -> Any:
    """The sound of frame k."""
    import av

    count = SOUND // RATE
    wave = np.sin(2 * np.pi * 440 * (k * count + np.arange(count)) / SOUND).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]) * 0.3, "fltp", "stereo")
    frame.sample_rate, frame.pts, frame.time_base = SOUND, k * count, Fraction(1, SOUND)
    return frame


class Clock:
    """Wall and processor time of stages, in milliseconds a frame; the latter of all threads."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.stages: dict[str, dict[str, float]] = {}

    def run(self, stage: str, work: Callable[[], Any]) -> Any:
        """Do the work and add its time to the stage's."""
        wall, processor = time.perf_counter(), time.process_time()
        result = work()
        times = self.stages.setdefault(stage, {"wall": 0.0, "processor": 0.0})
        times["wall"] += (time.perf_counter() - wall) / self.frames * 1000
        times["processor"] += (time.process_time() - processor) / self.frames * 1000
        return result


class Timed:
    """A thing whose calls, or whose methods' calls, are timed as a stage."""

    def __init__(self, what: Any, clock: Clock, stages: dict[str, str]) -> None:
        self._what, self._clock, self._stages = what, clock, stages

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._what, name)
        if name not in self._stages:
            return value
        return lambda *args, **more: self._clock.run(
            self._stages[name], lambda: value(*args, **more)
        )

    def __call__(self, *args: Any) -> Any:
        return self._clock.run(self._stages["__call__"], lambda: self._what(*args))


def frames_of(path: Path) -> Iterator[Any]:
    with opened(path) as source:
        yield from (item for item in source.items() if hasattr(item, "planes"))


def stages(
    translator: Translator, clip: Path, folder: Path, expression: str, frames: int
) -> tuple[dict[str, dict[str, float]], list[Similarity | None], list[float]]:
    """Every stage alone, where each frame's crop lay, and how large the face was."""
    clock = Clock(frames)
    clock.run("decode", lambda: [None for _ in frames_of(clip)])
    changer = FrameChanger(translator, expression)
    follower = changer._follower
    translator.locator.detector_  # noqa: B018  made once, not in a frame
    detector = Timed(translator.locator, clock, {"faces": "detect (part of follow)"})
    follower.locator = detector  # type: ignore[assignment]
    changer._follower = Timed(follower, clock, {"__call__": "follow"})  # type: ignore[assignment]
    changer._paster = Timed(changer._paster, clock, {"paste": "paste"})  # type: ignore[assignment]
    following = changer._following

    def timed() -> Any:
        face = following()

        def look(seen: Any) -> Any:
            work = clock.run("look", lambda: face(seen))
            return lambda: clock.run("change", work)

        return look

    changer._following = timed
    places: list[Similarity | None] = []
    apart: list[float] = []
    with opened(clip) as source, (folder / "stages.mp4").open("wb") as file:
        items = (item for item in source.items() if hasattr(item, "planes"))
        first = next(items)
        with sink(file, folder / "stages.mp4", source, first) as made:
            for item in (first, *items):
                frame = made.prepared(item)
                clock.run("apply (follow, look, change, paste)", lambda frame=frame: changer(frame))  # type: ignore[misc]
                places.append(follower.tracks[0].similarity if follower.tracks else None)
                apart += [track.face.eye_distance for track in follower.tracks[:1]]
                clock.run("encode", lambda frame=frame: made.write(frame))  # type: ignore[misc]
            clock.run("encode", made.finish)
    return clock.stages, places, apart


def jitter(places: Sequence[Similarity | None], side: int, size: int) -> dict[str, float]:
    """How far the crop moves on the photo from frame to frame, in frame pixels (rms).

    In the photo's own pixels a crop that follows the face does not move at all, so what it moves
    there is jitter and lag: "slow" is how far it wanders from its mean, which is the lag.
    """
    points = np.array([[0.36, 0.39], [0.64, 0.39], [0.5, 0.78]]) * size
    on_photo = np.stack(
        [
            pose(k, side).to_crop(place.to_photo(points))
            for k, place in enumerate(places)
            if place is not None
        ]
    )
    scale = SIZE[1] / side
    quick = np.diff(on_photo, axis=0)
    slow = on_photo - on_photo.mean(axis=0)
    norm = lambda moves: float(np.sqrt((moves**2).sum(-1).mean()) * scale)  # noqa: E731
    return {"frame to frame": norm(quick), "slow": norm(slow)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--detector", default="auto", help="as for apply: a name or a YuNet file")
    parser.add_argument("--model", help="as for apply: rig, flow, or a file")
    parser.add_argument("--expr", default="happy")
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--clip", type=Path, help="time this video, and make none")
    parser.add_argument("--keep", type=Path, help="folder in which the videos stay")
    run = parser.parse_args(arguments)
    locator = Locator(*asked_for(run.detector))
    translator = load(run.model, locator=locator)
    with tempfile.TemporaryDirectory() as temporary:
        folder = run.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        clip = run.clip or folder / "clip.mp4"
        if run.clip is None:
            make_clip(run.photos, clip, run.frames)
        frames = sum(1 for _ in frames_of(clip))
        each, places, apart = stages(translator, clip, folder, run.expr, frames)
        begin, processor = time.perf_counter(), time.process_time()
        report = change_video(translator, clip, run.expr, folder / f"clip-{run.expr}.mp4")
        wall, processor = time.perf_counter() - begin, time.process_time() - processor
    result = {
        "machine": machine.describe(),
        "load before": os.getloadavg()[0],
        "detector": locator.detector_.name,
        "frames": report.frames,
        "pixels between the eyes": round(float(np.median(apart)), 1),
        "without face": report.without_face,
        "milliseconds a frame": {
            stage: {kind: round(value, 2) for kind, value in times.items()}
            for stage, times in each.items()
        },
        "all together, processor": round(1000 * processor / frames, 2),
        "frames a second": round(frames / wall, 1),
    }
    if run.clip is None and len(run.photos) == 1:
        result["jitter in pixels"] = jitter(places, 900, translator.size)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
