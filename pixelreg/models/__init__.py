"""Models: frozen plans, their provenance, their files; and which come with pixelreg."""

from __future__ import annotations

from pathlib import Path

# Models that come with pixelreg, by name: what loads them, or their file in this folder.
NAMED = {
    "rig": "pixelreg.api:load_rig",
    "flow": "london-happy.safetensors",
    "rr": "london-rr.safetensors",
}
DEFAULT = "rig"
BUNDLED = Path(__file__).parent
