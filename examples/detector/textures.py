"""Drawn pictures without a face."""

from __future__ import annotations

import numpy as np


def textures(count: int, seed: int) -> list[np.ndarray]:
    """Drawn pictures without a face, (360, 480) uint8: coloured noise, shapes, stripes, blobs."""
    rng = np.random.default_rng(seed)
    return [(_noise, _shapes, _blobs)[k % 3](rng) for k in range(count)]


def _noise(rng: np.random.Generator) -> np.ndarray:
    fy, fx = np.meshgrid(np.fft.fftfreq(360), np.fft.rfftfreq(480), indexing="ij")
    amplitude = 1 / np.maximum(np.hypot(fx, fy), 1 / 480) ** rng.uniform(0.6, 1.8)
    field = np.fft.irfft2(amplitude * np.exp(2j * np.pi * rng.random(fx.shape)), s=(360, 480))
    field = (field - field.mean()) / field.std()
    return np.asarray(np.clip(128 + 50 * field, 0, 255).astype(np.uint8))


def _shapes(rng: np.random.Generator) -> np.ndarray:
    from PIL import Image, ImageDraw

    picture = Image.new("L", (480, 360), int(rng.integers(256)))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(15, 90))):
        x, y = rng.uniform(0, 480), rng.uniform(0, 360)
        w, h = np.exp(rng.uniform(1.5, 5, 2))
        box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        fill, kind = int(rng.integers(256)), rng.integers(4)
        if kind == 0:
            pen.ellipse(box, fill=fill, outline=int(rng.integers(256)))
        elif kind == 1:
            pen.rectangle(box, fill=fill)
        elif kind == 2:
            pen.line(box, fill=fill, width=int(rng.integers(1, 9)))
        else:
            corners = rng.uniform([x - w, y - h], [x + w, y + h], (4, 2))
            pen.polygon([(float(a), float(b)) for a, b in corners], fill=fill)
    return np.asarray(picture)


def _blobs(rng: np.random.Generator) -> np.ndarray:
    """Dark and light blobs, some in the pattern of a face: two above one."""
    gy, gx = np.mgrid[:360, :480].astype(np.float32)
    field = np.full((360, 480), rng.uniform(80, 200), np.float32)
    for _ in range(int(rng.integers(10, 60))):
        x, y, size = rng.uniform(0, 480), rng.uniform(0, 360), np.exp(rng.uniform(1.2, 4))
        ratio, depth = np.exp(rng.normal(0, 0.5)), rng.normal(0, 60)
        twin = rng.uniform(2, 5) * size if rng.random() < 0.5 else 0.0
        for offset in {0.0, twin}:
            far = ((gx - x - offset) / ratio) ** 2 + ((gy - y) * ratio) ** 2
            field += depth * np.exp(-far / (2 * size**2))
    return np.asarray(np.clip(field + rng.normal(0, 4, field.shape), 0, 255).astype(np.uint8))
