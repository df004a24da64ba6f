"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def london() -> Path:
    """The London set beside the checkout; tests that need it skip where it is absent."""
    folder = SHARED / "data" / "london"
    if not folder.is_dir():
        pytest.skip("the London set is not beside this checkout (../shared/data/london)")
    return folder


@pytest.fixture(scope="session")
def yunet_file() -> Path:
    """The YuNet detector beside the checkout; tests that need it skip where it is absent."""
    folder = SHARED / "models"
    files = sorted(folder.glob("face_detection_yunet_*.onnx"))
    if not files:
        pytest.skip("no YuNet file beside this checkout (../shared/models)")
    return files[0]
