"""What is taken at the limits: memory of the largest pictures, time and memory of refusals.

    python -m benchmarks.limits

Every file is read in a process of its own, whose memory beyond its start is compared with the
decoded picture, red, green, blue (and opacity) of the file's own depth. Seconds are the
processor's, not the clock's.
"""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

WIDE = (9450, 9450)  # 89.3 million pixels, just under the limit of 8 bits
DEEP = (5450, 5450)  # 29.7 million, of more


def noise(size: tuple[int, int], channels: int, kind: type) -> np.ndarray:
    """A row of noise, again and again: a file of it is small, and no blank one."""
    row = np.random.default_rng(0).integers(0, 256, (1, size[0], channels)).astype(kind)
    return np.broadcast_to(row, (size[1], *row.shape[1:]))


def png(size: tuple[int, int], depth: int, colour: int, channels: int) -> bytes:
    """A PNG, packed row by row so that making it takes little."""
    row = b"\0" + noise((size[0], 1), channels * depth // 8, np.uint8).tobytes()
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(row) for _ in range(size[1])) + packer.flush()
    parts = [b"\x89PNG\r\n\x1a\n"]
    head = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    for name, data in ((b"IHDR", head), (b"IDAT", packed), (b"IEND", b"")):
        crc = struct.pack(">I", zlib.crc32(name + data))
        parts += [struct.pack(">I", len(data)), name, data, crc]
    return b"".join(parts)


def pillow(format: str, mode: str, size: tuple[int, int], **options: object) -> bytes:
    """A file as Pillow writes it."""
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(noise(size, 3, np.uint8)))
    if mode == "F":
        image = Image.fromarray(np.ascontiguousarray(noise(size, 1, np.float32)[..., 0]) / 255)
    image.save(file, format, **options)
    return file.getvalue()


# name -> (suffix, the file, bytes of a decoded pixel, width and height)
AT_THE_LIMIT: dict[str, tuple[str, Callable[[], bytes], int, tuple[int, int]]] = {
    "PNG, 8 bits": ("png", lambda: png(WIDE, 8, 2, 3), 3, WIDE),
    "JPEG": ("jpg", lambda: pillow("JPEG", "RGB", WIDE), 3, WIDE),
    "PNG, 65,535 a side": ("png", lambda: png((65_535, 1360), 8, 2, 3), 3, (65_535, 1360)),
    "PNG, 16 bits": ("png", lambda: png(DEEP, 16, 2, 3), 6, DEEP),
    "PNG, 16 bits, with opacity": ("png", lambda: png(DEEP, 16, 6, 4), 8, DEEP),
    "PNG, 16 bits, grey": ("png", lambda: png(DEEP, 16, 0, 1), 6, DEEP),
    "TIFF, floats, grey": ("tif", lambda: pillow("TIFF", "F", DEEP), 12, DEEP),
}
REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "PNG, a side more": ("png", lambda: png((9470, 9450), 8, 2, 3)),
    "PNG, 16 bits, a side more": ("png", lambda: png((5470, 5470), 16, 2, 3)),
    "PNG, blank": ("png", lambda: pillow_blank((9000, 9000))),
    "TIFF, a side more": ("tif", lambda: pillow("TIFF", "RGB", (9470, 9450))),
}


def pillow_blank(size: tuple[int, int]) -> bytes:
    """A PNG of nothing."""
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "PNG")
    return file.getvalue()


def measured(path: Path) -> tuple[str, float, float]:
    """What became of a file in a process of its own, its seconds, and its MB beyond the start."""
    line = [sys.executable, "-m", "benchmarks.limits", str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    what, seconds, megabytes = done.stdout.split()
    return what, float(seconds), float(megabytes)


def _here(path: Path) -> None:
    from pixelreg.errors import PixelregError
    from pixelreg.pictures.image import read_file

    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    try:
        read_file(path)
        what = "taken"
    except PixelregError:
        what = "refused"
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start
    print(what, time.process_time() - began, taken / 1024)


def main() -> None:
    """Run from the command line."""
    if len(sys.argv) == 2:
        _here(Path(sys.argv[1]))
        return
    print("| at the limit | result | CPU s | MB | of the decoded picture |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, (suffix, make, deep, (width, height)) in AT_THE_LIMIT.items():
            path = Path(folder) / f"x.{suffix}"
            path.write_bytes(make())
            what, seconds, megabytes = measured(path)
            share = megabytes * 2**20 / (width * height * deep)
            print(
                f"| {name} | {what} | {seconds:.1f} | {megabytes:.0f} | {share:.1f} x |", flush=True
            )
        print("\n| beyond it | result | CPU s | MB |\n|---|---|---|---|")
        for name, (suffix, build) in REFUSED.items():
            path = Path(folder) / f"x.{suffix}"
            path.write_bytes(build())
            what, seconds, megabytes = measured(path)
            print(f"| {name} | {what} | {seconds:.2f} | {megabytes:.0f} |", flush=True)


if __name__ == "__main__":
    main()
