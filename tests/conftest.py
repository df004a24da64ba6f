"""Fixtures that several test files share."""

from __future__ import annotations

import os
import sys

if "PYTEST_XDIST_WORKER" in os.environ:  # one process a core; more threads would be in the way
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where bytecode is forbidden, every worker rewrites every assert of every file again, and every
# process that a test starts compiles the package. Numba writes beside the sources anyway.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_tools import SIZE, Command, Result, pixels

from pixelreg.commands.main import main
from pixelreg.data.synthetic import pairs_array, synthesise
from pixelreg.models import file as modelfile
from pixelreg.models.model import Frame

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def london() -> Path:
    """The London set beside the checkout; tests that need it skip where it is absent."""
    folder = SHARED / "data" / "london"
    if not folder.is_dir():
        pytest.skip("the London set is not beside this checkout (../shared/data/london)")
    return folder


@pytest.fixture(scope="session")
def reported() -> Path:
    """The cases that people reported; tests that need them skip where they are absent."""
    folder = SHARED / "data" / "reported"
    if not folder.is_dir():
        pytest.skip("the reported cases are not beside this checkout (../shared/data/reported)")
    return folder


@pytest.fixture(scope="session")
def yunet_file() -> Path:
    """The YuNet detector beside the checkout; tests that need it skip where it is absent."""
    folder = SHARED / "models"
    files = sorted(folder.glob("face_detection_yunet_*.onnx"))
    if not files:
        pytest.skip("no YuNet file beside this checkout (../shared/models)")
    return files[0]


@pytest.fixture(params=["bundled", "yunet"])
def asked(request: pytest.FixtureRequest) -> str:
    """What --detector takes: each of the detectors that can be had here."""
    if request.param == "bundled":
        return "bundled"
    pytest.importorskip("cv2", reason="YuNet needs OpenCV, which the extra 'align' brings")
    return str(request.getfixturevalue("yunet_file"))


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process: ``command("fit", "--data", folder)``."""

    def call(*args: object) -> Result:
        capfd.readouterr()
        code = main([str(arg) for arg in args])
        return Result(code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawn people, neutral, happy and sad, 64 x 64, in the KDEF layout."""
    folder = tmp_path_factory.mktemp("drawn")
    synthesise(folder, 8, ("neutral", "happy", "sad"), size=64, seed=5)
    return folder


@pytest.fixture(scope="session")
def model(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pixel-RR from neutral to happy and sad at 32 x 32, fitted by the command line."""
    file = tmp_path_factory.mktemp("model") / "drawn.safetensors"
    options = ("--no-align", "--size", str(SIZE), "--prior", "identity")
    assert main(["fit", "--data", str(drawn), *options, "-o", str(file)]) == 0
    return file


@pytest.fixture
def face(drawn: Path) -> np.ndarray:
    """A neutral face, (64, 64, 3) uint8."""
    return pixels(drawn / "KDEF" / "AF01" / "AF01NES.JPG")


@pytest.fixture(scope="session")
def photo_model(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model for photographs: drawn faces stand in the default frame."""
    file = tmp_path_factory.mktemp("photo-model") / "photo.safetensors"
    modelfile.save(replace(modelfile.load(model), frame=Frame()), file)
    return file


@pytest.fixture
def tiny_onnx(tmp_path: Path) -> Callable[..., Path]:
    """Write one of `onnx_tools`'s models and its card: ``tiny_onnx(identity(), multiple=4)``."""
    from onnx_tools import save

    return lambda model, **card: save(model, tmp_path / "m.onnx", **card)


@pytest.fixture(scope="session")
def large_face() -> np.ndarray:
    """A neutral face that detectors find, (256, 256, 3) uint8."""
    return pairs_array(2, "happy", 256)[0][1]


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """PyTorch on one thread: small networks are no faster on more, and round alike."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fit_options(tmp_path: Path) -> tuple[object, ...]:
    """Options that make fitting quick and write to the folder ``out``."""
    return ("--size", 16, "--no-align", "-o", tmp_path / "out" / "m.safetensors")
