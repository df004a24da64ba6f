"""The training loop, with a small algorithm of its own that uses all that an algorithm may."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from safetensors.torch import load_file
from torch import nn

from deep_onnx.card import Card
from deep_onnx.training import checkpoint, loop
from deep_onnx.training import tools as augmenting
from deep_onnx.training.algorithm import Algorithm, Arguments, Export, argument
from deep_onnx.training.data import Examples
from deep_onnx.training.loop import Moment, Order, Run, Schedule, Trained, load_best, seed_of, train
from deep_onnx.training.losses_file import History, thinned
from deep_onnx.training.tools import augment, to_pixels, to_tensor
from pixelreg.errors import (
    DataError,
    InvalidArrayError,
    ModelFileError,
    PixelregError,
    UsageError,
)
from pixelreg.models.model import Provenance

SIZE = 8


@dataclass(frozen=True)
class ToyArguments(Arguments):
    size: int = argument(SIZE, "Side.")
    batch: int = argument(4, "Pictures a step.")
    learning_rate: float = argument(0.02, "Step size.")
    pause: float = argument(0.0, "Seconds a step.")
    spoil: int = argument(0, "Step at which a loss is no number, or 0.")


class Toy(Algorithm):
    """Learns to invert pictures, with dropout, batch norm, momentum, and a memory."""

    Arguments = ToyArguments

    def __init__(self, arguments: Any, examples: Examples) -> None:
        super().__init__(arguments, examples)
        layers = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout2d(0.2), nn.ReLU()]
        self.networks = {
            "maker": nn.Sequential(*layers, nn.Conv2d(4, 3, 1)),
            "judge": nn.Linear(3 * arguments.size**2, 1),
        }
        rate = arguments.learning_rate
        self.optimisers = {
            "maker": torch.optim.Adam(self.networks["maker"].parameters(), rate, (0.5, 0.999)),
            "judge": torch.optim.SGD(self.networks["judge"].parameters(), 0.002, 0.9),
        }
        self.memory = torch.zeros(2, dtype=torch.float64)

    @property
    def items(self) -> int:
        return len(self.examples.pictures)

    def _losses(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        made = self.networks["maker"](values)
        return (made + values).abs().mean(), self.networks["judge"](made.detach().flatten(1))

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        time.sleep(self.arguments.pause)
        for group in self.optimisers["maker"].param_groups:
            group["lr"] = self.arguments.learning_rate * (1 - progress / 2)
        (pictures,) = augment([self.examples.pictures[list(items)]])
        loss, verdict = self._losses(to_tensor(pictures))
        other = (verdict - 1 + self.memory[0].float()).square().mean()
        for name, value in (("maker", loss), ("judge", other)):
            self.optimisers[name].zero_grad()
            value.backward()
            self.optimisers[name].step()
        self.memory += torch.tensor([0.001 * loss.item(), 1.0], dtype=torch.float64)
        spoiled = self.memory[1] == self.arguments.spoil
        return {"l1": math.nan if spoiled else loss.item(), "judge": other.item()}

    def validate(self, held_out: Examples) -> dict[str, float]:
        self.networks["maker"].eval()
        with torch.no_grad():
            loss, _ = self._losses(to_tensor(held_out.pictures))
        self.networks["maker"].train()
        return {"l1": float(loss)}

    def sample(self, held_out: Examples) -> list[tuple[str, Sequence[Any]]]:
        self.networks["maker"].eval()
        with torch.no_grad():
            made = self.networks["maker"](to_tensor(held_out.pictures[:2]))
        self.networks["maker"].train()
        return [("input", held_out.pictures[:2]), ("made", to_pixels(made))]

    def exports(self) -> list[Export]:
        maker = self.networks["maker"].eval()
        card = Card("toy", targets={"inverted": ()}, size=SIZE, dynamic=True, placement="square")
        return [Export(maker, card, {"image": torch.zeros(2, 3, SIZE, SIZE)})]

    def state(self) -> dict[str, torch.Tensor]:
        return {"memory": self.memory}

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.memory = tensors["memory"].clone()


def examples(count: int, seed: int = 0) -> Examples:
    """Random pictures of as many people."""
    pictures = np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    people = tuple(f"{seed}-{k}" for k in range(count))
    return Examples("plain", {}, pictures, ("plain",) * count, people, None, Provenance())


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch, one_torch_thread: None) -> None:
    """One thread, to be as quick beside other work; checkpoints however long they take."""
    monkeypatch.setattr(loop, "SHARE", 0)


NOBODY = examples(1).only(frozenset())


def go(folder: Path, steps: int = 12, arguments: Any = None, **settings: Any) -> Trained:
    """Train the toy."""
    run = Run(folder, Schedule(steps=steps), "toy", **{"validate_every": 4, **settings})
    return train(Toy, arguments or ToyArguments(), examples(10), examples(3, 1), run)


def weights(algorithm: Algorithm) -> str:
    """SHA-256 of all weights."""
    digest = hashlib.sha256()
    for network in algorithm.networks.values():
        for name, value in network.state_dict().items():
            digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "losses.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_training_leaves_losses_curves_samples_and_checkpoints(tmp_path: Path) -> None:
    seen: list[Moment] = []
    trained = go(tmp_path / "run", 12, watch=seen.append)
    assert {path.relative_to(tmp_path / "run").as_posix() for path in tmp_path.rglob("*.*")} == {
        *("last.safetensors", "best.safetensors", "losses.csv", "losses.png"),
        *(f"samples/step-{step:06d}.png" for step in (0, 4, 8, 12)),
    }
    assert trained.progress.finished
    assert [moment.step for moment in seen] == list(range(1, 13))
    assert [moment.step for moment in seen if moment.validation] == [4, 8, 12]
    assert [moment.progress for moment in seen] == [step / 12 for step in range(1, 13)]
    found = rows(tmp_path / "run")
    assert [int(row["step"]) for row in found] == list(range(13))
    assert found[0]["train l1"] == ""
    validated = {int(row["step"]): float(row["validation l1"]) for row in found
                 if row["validation l1"]}  # fmt: skip
    assert list(validated) == [0, 4, 8, 12]
    for moment in seen:
        row = found[moment.step]
        assert float(row["train l1"]) == pytest.approx(moment.train["l1"], rel=1e-8)
        assert float(row["train judge"]) == pytest.approx(moment.train["judge"], rel=1e-8)
    assert trained.progress.best == pytest.approx(min(validated[k] for k in (4, 8, 12)))
    with Image.open(tmp_path / "run" / "losses.png") as curves:
        assert np.asarray(curves.convert("L")).std() > 5


def test_losses_fall_and_the_seed_decides(tmp_path: Path) -> None:
    one = go(tmp_path / "a", 60)
    series = one.losses.series("train", "l1")[1]
    assert series[-10:].mean() < 0.7 * series[:10].mean()
    torch.manual_seed(99)
    assert weights(go(tmp_path / "b", 60).algorithm) == weights(one.algorithm)
    other = go(tmp_path / "c", 60, ToyArguments(seed=1))
    assert weights(other.algorithm) != weights(one.algorithm)


def test_watching_more_closely_changes_no_weight(tmp_path: Path) -> None:
    plain = go(tmp_path / "a", 20, validate_every=20)
    close = go(tmp_path / "b", 20, validate_every=1, sample_every=3, checkpoint_seconds=0)
    assert weights(plain.algorithm) == weights(close.algorithm)
    sheets = sorted(path.stem for path in (tmp_path / "b" / "samples").glob("*"))
    assert sheets == [f"step-{step:06d}" for step in (0, 3, 6, 9, 12, 15, 18, 20)]


class Killed(Exception):
    pass


def _killer(step: int) -> Any:
    def watch(moment: Moment) -> None:
        if moment.step == step:
            raise Killed

    return watch


@pytest.mark.parametrize("step", [1, 7, 12, 19])
def test_resuming_ends_with_the_same_bits(step: int, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = go(whole, 20)
    with pytest.raises(Killed):
        go(broken, 20, watch=_killer(step), checkpoint_seconds=0)
    resumed = go(broken, 20, resume=True)
    assert weights(resumed.algorithm) == weights(expected.algorithm)
    for name in ("losses.csv", "best.safetensors"):
        _same_content(whole / name, broken / name)
    last, other = (load_file(folder / "last.safetensors") for folder in (whole, broken))
    assert last.keys() == other.keys()
    assert all(torch.equal(last[name], other[name]) for name in last)
    assert any(name.endswith("exp_avg_sq") for name in last)
    assert any(name.endswith("momentum_buffer") for name in last)


def _same_content(one: Path, other: Path) -> None:
    if one.suffix == ".csv":
        assert one.read_text() == other.read_text()
        return
    first, second = load_file(one), load_file(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_matters_is_what_the_checkpoint_holds(tmp_path: Path) -> None:
    """A resumed run that lost its optimisers or its memory must not pass for the same one."""
    expected = weights(go(tmp_path / "whole", 20).algorithm)
    with pytest.raises(Killed):
        go(tmp_path / "broken", 20, watch=_killer(7), checkpoint_seconds=0)

    class Forgetful(Toy):
        def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
            pass

    run = Run(tmp_path / "broken", Schedule(steps=20), "toy", True, 4)
    resumed = train(Forgetful, ToyArguments(), examples(10), examples(3, 1), run)
    assert weights(resumed.algorithm) != expected


@pytest.mark.slow
def test_a_training_killed_at_a_random_moment(tmp_path: Path) -> None:
    """SIGKILL to a process of its own, again and again; then the same bits as an unbroken run."""
    command = [sys.executable, __file__, str(tmp_path / "killed")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    chance = random.Random(time.time_ns())
    kills, ended = 0, False
    for attempt in range(30):
        resume = (tmp_path / "killed" / "last.safetensors").exists()
        process = subprocess.Popen(
            [*command, *(["resume"] if resume else [])],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()  # imports are over
        if kills < 2:
            time.sleep(chance.uniform(0.05, 0.6))
            process.kill()
        _, errors = process.communicate(timeout=60)
        if process.returncode == 0:
            ended = True
            break
        assert process.returncode == -signal.SIGKILL, (attempt, errors.decode())
        kills += 1
    assert ended
    assert kills == 2
    expected = go(tmp_path / "whole", 100)
    _same_content(tmp_path / "whole" / "losses.csv", tmp_path / "killed" / "losses.csv")
    for name in ("last.safetensors", "best.safetensors"):
        _same_content(tmp_path / "whole" / name, tmp_path / "killed" / name)
    assert expected.progress.finished
    assert not list((tmp_path / "killed").glob(".*"))


def test_sigint_ends_with_a_checkpoint(tmp_path: Path) -> None:
    def interrupt(moment: Moment) -> None:
        if moment.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    stopped = go(tmp_path / "run", 20, watch=interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    assert (stopped.progress.step, stopped.progress.finished) == (7, False)
    assert checkpoint.peek(tmp_path / "run" / "last.safetensors") == (7, False)
    resumed = go(tmp_path / "run", 20, resume=True)
    assert weights(resumed.algorithm) == weights(go(tmp_path / "whole", 20).algorithm)


def test_a_second_sigint_stops_at_once(tmp_path: Path) -> None:
    def interrupt(moment: Moment) -> None:
        if moment.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, 20, watch=interrupt)


class Wavering(Toy):
    """Learns, and forgets it again in the second half."""

    def step(self, items: Sequence[int], progress: float) -> dict[str, float]:
        losses = super().step(items, 0.0)
        if progress > 0.5:
            with torch.no_grad():
                self.networks["maker"][-1].bias += 0.3
        return losses


def test_the_best_networks_come_back(tmp_path: Path) -> None:
    run = Run(tmp_path, Schedule(steps=30), "toy", validate_every=3)
    trained = train(Wavering, ToyArguments(), examples(10), examples(3, 1), run)
    steps, values = trained.losses.series("validation", "l1")
    assert values[1:].argmin() < len(values) - 2, "the last must not be the best here"
    step = load_best(trained, run)
    assert step == trained.progress.best_step == steps[1:][values[1:].argmin()]
    assert trained.algorithm.validate(examples(3, 1))["l1"] == values[1:].min()


def test_without_held_out_people_the_last_is_taken(tmp_path: Path) -> None:
    run = Run(tmp_path, Schedule(steps=5), "toy")
    trained = train(Toy, ToyArguments(), examples(10), NOBODY, run)
    assert not run.best.exists()
    before = weights(trained.algorithm)
    assert load_best(trained, run) == 5
    assert weights(trained.algorithm) == before
    assert list(rows(tmp_path)[0]) == ["step", "train l1", "train judge"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"arguments": ToyArguments(learning_rate=0.01)}, "other options or other pictures"),
        ({"arguments": ToyArguments(seed=1)}, "other options or other pictures"),
        ({"pictures": examples(10, 5)}, "other options or other pictures"),
        ({"held_out": examples(4, 1)}, "other options or other pictures"),
        ({"name": "other"}, "other options or other pictures"),
    ],
)
def test_another_training_is_not_resumed(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    go(tmp_path, 4)
    run = Run(tmp_path, Schedule(steps=8), change.get("name", "toy"), resume=True)
    with pytest.raises(ModelFileError, match=reason):
        train(
            Toy,
            change.get("arguments", ToyArguments()),
            change.get("pictures", examples(10)),
            change.get("held_out", examples(3, 1)),
            run,
        )


def test_a_longer_training_goes_on_from_a_finished_one(tmp_path: Path) -> None:
    go(tmp_path, 4)
    longer = go(tmp_path, 9, resume=True)
    assert longer.progress.step == 9
    assert [int(row["step"]) for row in rows(tmp_path)] == list(range(10))


def test_an_unfinished_training_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        go(tmp_path, 20, watch=_killer(5), checkpoint_seconds=0)
    assert checkpoint.peek(tmp_path / "last.safetensors") == (4, False)
    with pytest.raises(UsageError, match=r"unfinished training \(4 steps\): add --resume"):
        go(tmp_path, 20)
    go(tmp_path, 20, resume=True)
    go(tmp_path, 4)  # a finished one is
    assert not (tmp_path / "samples" / "step-000020.png").exists()


def test_bad_checkpoints_end_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no checkpoint"):
        go(tmp_path, 4, resume=True)
    go(tmp_path, 4)
    file = tmp_path / "last.safetensors"
    whole = file.read_bytes()
    for content in (b"", whole[:100], whole[:-4], b"\x80\x04" + whole, b"[]" * 50):
        file.write_bytes(content)
        with pytest.raises(ModelFileError):
            go(tmp_path, 4, resume=True)
    file.write_bytes(whole.replace(b"network/judge/bias", b"network/judge/bios"))
    with pytest.raises(ModelFileError, match="damaged"):
        go(tmp_path, 4, resume=True)
    file.write_bytes(whole.replace(b"state/memory", b"state/memorx"))
    with pytest.raises(ModelFileError, match="damaged"):
        go(tmp_path, 4, resume=True)


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    with pytest.raises(PixelregError, match=r"'l1' became nan at step 5.*--learning-rate"):
        go(tmp_path, 12, ToyArguments(spoil=5))
    assert len(rows(tmp_path)) == 5


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    run = Run(tmp_path, Schedule(steps=5), "toy")
    with pytest.raises(DataError, match="toy finds nothing to learn from"):
        train(Toy, ToyArguments(), NOBODY, examples(3, 1), run)


def test_minutes_are_kept(tmp_path: Path) -> None:
    seen: list[Moment] = []
    run = Run(tmp_path, Schedule(minutes=0.5 / 60), "toy", watch=seen.append)
    started = time.monotonic()
    trained = train(Toy, ToyArguments(pause=0.02), examples(10), NOBODY, run)
    assert 0.4 < time.monotonic() - started < 10
    assert trained.progress.finished
    assert seen[-1].progress == pytest.approx(1, abs=0.1)
    shares = [moment.progress for moment in seen]
    assert shares == sorted(shares)
    assert seen[0].total is None
    again = replace(run, resume=True)
    assert train(Toy, ToyArguments(pause=0.02), examples(10), NOBODY, again).progress.step == len(
        seen
    )


def test_schedules() -> None:
    for given in ({}, {"steps": 3, "minutes": 1.0}):
        with pytest.raises(UsageError, match="one of steps, epochs and minutes"):
            Schedule(**given)
    assert Schedule(epochs=3).total(7) == 21
    assert Schedule(steps=9).total(7) == 9
    assert Schedule(minutes=2).total(7) is None
    assert Schedule(steps=8).progress(2, 1e9, 7) == 0.25
    assert Schedule(minutes=2).progress(2, 30, 7) == 0.25
    for wrong in ({}, {"steps": 1, "minutes": 2.0}, {"steps": 0}, {"minutes": math.inf}):
        with pytest.raises(UsageError):
            Schedule(**wrong)


def test_an_epoch_shows_every_item_once() -> None:
    order = Order(10, 3, 4)
    assert order.steps_an_epoch == 3
    epochs = [[item for step in range(3) for item in order.at(3 * epoch + step)]
              for epoch in range(40)]  # fmt: skip
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 40
    assert {item for epoch in epochs for item in epoch} == set(range(10))
    assert Order(10, 3, 4).at(7) == order.at(7)
    assert Order(10, 3, 5).at(7) != order.at(7)
    assert Order(2, 16, 0).steps_an_epoch == 1
    assert len({seed_of(s, w, n) for s in range(9) for w in "ab" for n in range(9)}) == 162


def test_augmented_pictures_move_together() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 256, (64, 32, 32, 3), np.uint8)
    other = 255 - one
    torch.manual_seed(3)
    made, made_other = augment([one, other])
    assert made.dtype == np.uint8
    assert made.shape == one.shape
    np.testing.assert_array_equal(made_other, 255 - made)
    found = set()
    for picture, original in zip(made, one, strict=True):
        padded = np.pad(original, ((2, 2), (2, 2), (0, 0)), mode="edge")
        matches = [
            (mirrored, x, y)
            for mirrored in (False, True)
            for x in range(5)
            for y in range(5)
            if (picture == (padded[:, ::-1] if mirrored else padded)[y : y + 32, x : x + 32]).all()
        ]
        assert len(matches) == 1
        found.add(matches[0])
    assert len(found) > 30
    assert {m for m, _, _ in found} == {True, False}
    assert {x for _, x, _ in found} == {y for _, _, y in found} == set(range(5))
    torch.manual_seed(3)
    np.testing.assert_array_equal(augment([one])[0], made)
    assert augmenting.SHARE == 16
    with pytest.raises(InvalidArrayError):
        augment([one, other[:3]])


def test_curves_are_thinned_without_losing_anything() -> None:
    steps = np.arange(1, 1004.0)
    values = np.random.default_rng(0).normal(size=1003)
    last, mean, low, high = thinned(steps, values, 100)
    assert len(last) <= 100
    assert last[-1] == 1003
    assert low.min() == values.min()
    assert high.max() == values.max()
    assert mean[3] == pytest.approx(values[33:44].mean())
    np.testing.assert_array_equal(thinned(steps[:50], values[:50], 100)[1], values[:50])


def test_losses_with_strange_names_stay_one_cell(tmp_path: Path) -> None:
    losses = History(tmp_path / "losses.csv")
    losses.add(1, {'a, "b"': 1.5}, None)
    losses.add(2, {'a, "b"': 2.5}, None)
    found = rows(tmp_path)
    assert [row['train a, "b"'] for row in found] == ["1.5", "2.5"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("ready", flush=True)  # noqa: T201
    go(
        Path(sys.argv[1]), 100, ToyArguments(pause=0.01),
        resume="resume" in sys.argv[2:], checkpoint_seconds=0.02,
    )  # fmt: skip
