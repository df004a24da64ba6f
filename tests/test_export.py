"""From PyTorch to ONNX: the same numbers, nothing of this machine, and eight traps avoided.

The ninth, that GANimation keeps the picture where its attention is one, is in test_convert: its
files are compared with the authors' own network.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from onnx_tools import by_onnxruntime, refused
from torch import nn
from torch.nn import functional as F

from deep_onnx.card import Card, card_from_json
from deep_onnx.export import TOLERANCE, Exported, export_onnx, parity, refuse_training_mode
from deep_onnx.file import read
from deep_onnx.training.algorithm import Export
from pixelreg.errors import PixelregError
from pixelreg.models.model import Provenance

CARD = Card("toy", targets={"happy": ()}, size=16, dynamic=True, multiple=4)


class Toy(nn.Module):
    """Down by four and up again, as the generators do, with a norm and perhaps dropout."""

    def __init__(self, norm: nn.Module | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Sequential(
            nn.Conv2d(3, 4, 4, 2, 1),
            norm or nn.InstanceNorm2d(4, affine=True),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(4, 4, 4, 2, 1),
            nn.ConvTranspose2d(4, 4, 4, 2, 1),
            nn.ConvTranspose2d(4, 3, 4, 2, 1),
        )

    def forward(self, image: Any) -> Any:
        return torch.tanh(self.inner(image))


class Conditional(Toy):
    """The same with a condition."""

    def forward(self, image: Any, condition: Any) -> Any:
        return super().forward(image * condition[:, 0, None, None, None] + condition.mean())


def pictures(batch: int = 1, height: int = 16, width: int = 16) -> Any:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def toy(module: nn.Module | None = None, card: Card = CARD, **inputs: Any) -> Export:
    return Export((module or Toy()).eval(), card, {"image": pictures(), **inputs})


def apart(made: np.ndarray, expected: Any) -> float:
    return float(np.abs(made - expected.detach().numpy()).max())


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The toy of the defaults, exported alone into a folder."""
    provenance = Provenance("drawn", 8, 8, "CC0")
    path = tmp_path_factory.mktemp("plain") / "m.onnx"
    return export_onnx(toy(Toy(dropout=0.5)), path, provenance, {"steps": 3})


def write(export: Export, folder: Path) -> Path:
    return export_onnx(export, folder / "m.onnx", Provenance()).path


def test_the_file_computes_what_the_module_computes_at_any_batch_and_size(done) -> None:
    export = toy()
    assert done.parity <= 1e-5
    assert done.bytes == done.path.stat().st_size
    assert done.parameters == 4 * (48 + 64 + 64 + 48) + (4 + 8 + 4 + 4 + 3)
    for batch, height, width in ((1, 16, 16), (5, 16, 16), (2, 4, 44), (1, 40, 8)):
        given = pictures(batch, height, width)
        assert apart(by_onnxruntime(done.path, image=given), export.module(given)) <= 1e-5


def test_a_fixed_size_stays_fixed_and_the_batch_dynamic(tmp_path) -> None:
    export = toy(card=replace(CARD, dynamic=False))
    path = write(export, tmp_path)
    assert apart(by_onnxruntime(path, image=pictures(7)), export.module(pictures(7))) <= 1e-5
    sizes = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_param or size.dim_value for size in sizes] == ["batch", 3, 16, 16]


def test_parity_is_measured_on_the_pictures_given(tmp_path) -> None:
    class Jump(Toy):
        """Right on every example and random number; another output for a white picture."""

        def forward(self, image: Any) -> Any:
            jump = (image > 0.999).all() if not torch.onnx.is_in_onnx_export() else 0.0
            return super().forward(image) + jump

    export, white = toy(Jump()), np.full((2, 16, 16, 3), 255, np.uint8)
    path = write(export, tmp_path)
    assert parity(export, read(path)) <= TOLERANCE
    assert parity(export, read(path), white) == pytest.approx(1.0, abs=1e-3)
    with pytest.raises(PixelregError, match=r"not written: ONNX and PyTorch differ by 1\.0e\+00"):
        export_onnx(export, path, Provenance(), pictures=white)


def test_nothing_is_written_and_nothing_lost_where_parity_fails(tmp_path) -> None:
    class Other(Toy):
        def forward(self, image: Any) -> Any:
            return super().forward(image) + 0.01 * torch.onnx.is_in_onnx_export()

    path = tmp_path / "m.onnx"
    path.write_bytes(b"before")
    with pytest.raises(PixelregError, match=r"differ by 1\.0e-02 \(at most 0\.0001 is allowed\)"):
        export_onnx(toy(Other()), path, Provenance())
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]
    assert path.read_bytes() == b"before"


def test_the_card_is_read_without_torch_or_onnx(done) -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['onnx'] = sys.modules['onnxruntime'] = None\n"
        "from pathlib import Path\n"
        "from deep_onnx.file import read_card\n"
        "print(read_card(Path(sys.argv[1])).to_json())\n"
    )
    text = subprocess.run(
        [sys.executable, "-c", code, done.path], capture_output=True, text=True, check=True
    ).stdout
    card = card_from_json(text, "m.onnx")
    assert card.provenance == Provenance("drawn", 8, 8, "CC0")
    assert card.parameters == done.parameters
    assert card.notes == {"steps": 3, "parity": done.parity}
    assert (card.architecture, card.targets, card.multiple) == ("toy", {"happy": ()}, 4)


def test_exporting_says_nothing_and_leaves_the_module_as_it_was(tmp_path, capfd, recwarn) -> None:
    card = replace(
        CARD, condition=("a", "b"), condition_input="mood", targets={"x": (0, 1)}, output="made"
    )
    export = toy(Conditional(), card, mood=torch.tensor([[0.5, 1.0]]))
    before = {name: value.clone() for name, value in export.module.state_dict().items()}
    path = write(export, tmp_path)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    after = export.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not export.module.training
    # Names and sizes are those of the card.
    graph = onnx.load(path).graph
    assert [value.name for value in graph.input] == ["image", "mood"]
    assert [value.name for value in graph.output] == ["made"]
    for value in (graph.input[0], graph.output[0]):
        sizes = [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        assert sizes == ["batch", 3, "height", "width"]


def test_trap_1_running_statistics_of_instance_norms_are_refused(tmp_path) -> None:
    tracked = Toy(nn.InstanceNorm2d(4, affine=True, track_running_stats=True)).train()
    for _ in range(3):
        intended = tracked(pictures())
    state = {key: value for key, value in tracked.state_dict().items() if "running" not in key}
    assert apart(tracked.eval()(pictures()).detach().numpy(), intended) > 0.02
    with pytest.raises(PixelregError, match=r"inner\.1 .*running statistics"):
        write(toy(tracked), tmp_path)
    plain = Toy()
    plain.load_state_dict({k: v for k, v in state.items() if "num_batches" not in k})
    assert apart(by_onnxruntime(write(toy(plain), tmp_path), image=pictures()), intended) <= 1e-5


def test_trap_2_batch_norm_in_training_mode_is_refused_and_instance_norm_takes_its_place(
    tmp_path,
) -> None:
    batch_norm = Toy(nn.BatchNorm2d(4)).train()
    intended = batch_norm(pictures())
    export = toy(batch_norm)
    batch_norm.inner[1].train()
    with pytest.raises(PixelregError, match=r"inner\.1 \(BatchNorm2d\) is in training mode"):
        write(export, tmp_path)
    plain = Toy()
    plain.load_state_dict(batch_norm.state_dict(), strict=False)
    assert torch.equal(plain(pictures()), intended)
    assert apart(by_onnxruntime(write(toy(plain), tmp_path), image=pictures()), intended) <= 1e-5


def test_trap_2_batch_statistics_hidden_in_a_function_do_not_pass(tmp_path) -> None:
    class Hidden(Toy):
        def forward(self, image: Any) -> Any:
            mean, var = torch.zeros(3), torch.ones(3)
            return super().forward(F.batch_norm(image, mean, var, training=True))

    with pytest.raises(PixelregError):
        write(toy(Hidden()), tmp_path)
    assert not list(tmp_path.iterdir())


def test_trap_3_dropout_is_off_or_refused(tmp_path, done) -> None:
    operators = [node.op_type for node in onnx.load(done.path).graph.node]
    assert operators.count("Conv") == operators.count("ConvTranspose") == 2
    assert "Dropout" not in operators
    active = toy(Toy(dropout=0.5))
    active.module.inner[3].train()
    with pytest.raises(PixelregError, match=r"inner\.3 \(Dropout\) is in training mode"):
        write(active, tmp_path)

    class Hidden(Toy):
        def forward(self, image: Any) -> Any:
            return F.dropout(super().forward(image), 0.5, training=True)

    with pytest.raises(PixelregError, match="draws random numbers"):
        write(toy(Hidden()), tmp_path)


def test_trap_4_positions_stay_an_input(tmp_path) -> None:
    class Gathered(Toy):
        """Four rows from a place that each picture chooses."""

        def forward(self, image: Any, centres: Any) -> Any:
            rows = centres[:, :1] + torch.arange(-2, 2)
            index = rows[:, None, :, None].expand(-1, 3, -1, image.shape[3])
            return super().forward(image.gather(2, index))

    centres = torch.tensor([[4, 4], [9, 2]])
    card = replace(CARD, task="portrait", dynamic=False)
    export = Export(Gathered().eval(), card, {"image": pictures(2), "centres": centres})
    path = write(export, tmp_path)
    for shift in (0, 3):
        made = by_onnxruntime(path, image=pictures(2), centres=centres + shift)
        assert apart(made, export.module(pictures(2), centres + shift)) <= 1e-5


def test_trap_4_positions_that_would_be_baked_in_are_refused(tmp_path) -> None:
    class Sliced(Toy):
        def forward(self, image: Any, centres: Any) -> Any:
            top = int(centres[0, 0])
            return super().forward(image[:, :, top : top + 8])

    class Ignoring(Toy):
        def forward(self, image: Any, centres: Any) -> Any:
            return super().forward(image)

    for module, complaint in ((Sliced(), "cannot export toy"), (Ignoring(), "input 'centres'")):
        card = replace(CARD, task="portrait", dynamic=False)
        export = Export(module.eval(), card, {"image": pictures(), "centres": torch.tensor([[4]])})
        with refused(PixelregError, complaint):
            write(export, tmp_path)
    assert not list(tmp_path.iterdir())


def test_trap_5_there_is_one_file(done) -> None:
    assert [file.name for file in done.path.parent.iterdir()] == ["m.onnx"]
    assert not any(tensor.external_data for tensor in onnx.load(done.path).graph.initializer)


def test_trap_6_the_opset_is_18_or_nothing(tmp_path, monkeypatch, done) -> None:
    opsets = onnx.load(done.path).opset_import
    assert [(opset.domain, opset.version) for opset in opsets] == [("", 18)]
    real = torch.onnx.export

    def raised(*args: Any, **options: Any) -> Any:
        return real(*args, **{**options, "opset_version": 20})

    monkeypatch.setattr(torch.onnx, "export", raised)
    with pytest.raises(PixelregError, match=r"operators of \{'': 20\}, not of opset 18"):
        write(toy(), tmp_path)


def test_trap_7_no_stack_trace_and_no_local_path_is_left(done) -> None:
    content = done.path.read_bytes()
    here, packages = Path(__file__).parent, Path(torch.__file__).parents[1]
    for trace in (here, Path.cwd(), packages, Path.home(), done.path.parent):
        assert str(trace).encode() not in content
    for trace in (b"site-packages", b"stack_trace", b"pkg.torch", b"forward", b".py", b"File "):
        assert trace not in content
    graph = onnx.load_model_from_string(content).graph
    parts = (*graph.node, *graph.input, *graph.output, *graph.initializer, graph)
    assert len(parts) > 15
    assert not any(part.doc_string or part.metadata_props for part in parts)


def test_trap_8_the_multiple_is_what_the_network_needs(tmp_path) -> None:
    class Skipping(Toy):
        """Adds its input to its output, which fails where their sizes differ."""

        def forward(self, image: Any) -> Any:
            return super().forward(image) + image

    path = write(toy(Skipping()), tmp_path)
    assert by_onnxruntime(path, image=pictures(1, 20, 24)).shape == (1, 3, 20, 24)
    with pytest.raises(PixelregError):
        write(toy(Skipping(), replace(CARD, multiple=1)), tmp_path)


def test_a_module_in_training_mode_is_refused_whatever_it_holds() -> None:
    with pytest.raises(PixelregError, match="Conv2d is in training mode"):
        refuse_training_mode(nn.Conv2d(3, 3, 3))
    refuse_training_mode(nn.Conv2d(3, 3, 3).eval())
