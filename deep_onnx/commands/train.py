"""``pixelreg train``: a command for each architecture, made from its dataclass of arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import Field, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from deep_onnx.registry import ARCHITECTURES
from pixelreg.commands import options
from pixelreg.commands.main import LazyGroup
from pixelreg.errors import UsageError, need


class Architectures(LazyGroup):
    """A group that lists architectures, and builds an architecture's command when it is called."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return command_of(cmd_name) if cmd_name in self.lazy else None


@click.group(cls=Architectures, lazy={name: (a.home, a.help) for name, a in ARCHITECTURES.items()})
def train() -> None:
    """Train a deep model on a folder of pictures, and export it as ONNX.

    Some people are held out: they choose the best checkpoint, and the scores are theirs. Losses,
    curves, sample sheets and checkpoints go to a folder beside the model.

    \b
    Examples:
      pixelreg train pix2pix --data london/ --expr happy --size 64 --width 16 --minutes 5
      pixelreg train stargan --data KDEF/ --steps 20000 -o faces.onnx
      pixelreg train stargan --data KDEF/ --steps 20000 -o faces.onnx --resume
      pixelreg train pix2pix --help
    """


def command_of(name: str) -> click.Command:
    """The command that trains an architecture."""
    need("torch", "torch", "train", "training")
    module, _, attribute = ARCHITECTURES[name].home.partition(":")
    algorithm = getattr(import_module(module), attribute)
    arguments = fields(algorithm.Arguments)

    def function(**values: Any) -> None:
        from deep_onnx.commands.train_run import Request, run

        chosen = {item.name: _checked(item, values.pop(item.name)) for item in arguments}
        run(Request(name, algorithm, algorithm.Arguments(**chosen), **values))

    decorators = (
        *(options.data, options.layout, options.source, options.expressions),
        *(_option(item) for item in arguments),
        *_training_options(name, algorithm),
        options.locating,
        options.as_json,
    )
    command: click.Command = click.command(name, help=_help(name, algorithm))(
        options.stacked(*decorators)(function)
    )
    return command


def _training_options(name: str, algorithm: Any) -> tuple[Callable[[Any], Any], ...]:
    return (
        click.option("--steps", type=click.IntRange(1), help="Stop after so many steps."),
        click.option(
            "--epochs", type=click.IntRange(1), help="Stop when everything was seen so often."
        ),
        click.option(
            "--minutes",
            type=click.FloatRange(0, min_open=True),
            help="Stop after so long; how many steps that is, the machine decides. [default: 10]",
        ),
        click.option(
            "--holdout",
            type=click.FloatRange(0, 1, max_open=True),
            default=0.2,
            show_default=True,
            help="Share of people to judge the model on; 0 for none.",
        ),
        click.option(
            "--keep",
            type=click.Choice(["best", "last"]),
            default=algorithm.keep,
            show_default=True,
            help="Which networks to export: those that did best on held-out people, or the last.",
        ),
        click.option(
            "--validate-every",
            type=click.IntRange(1),
            metavar="STEPS",
            help="How often held-out people are looked at. [default: about once an epoch]",
        ),
        click.option(
            "--sample-every",
            type=click.IntRange(1),
            metavar="STEPS",
            default=algorithm.sample_every,
            show_default=algorithm.sample_every is not None,
            help="How often a sample sheet is written."
            + ("" if algorithm.sample_every else " [default: as held-out people are looked at]"),
        ),
        click.option(
            "--device",
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            show_default=True,
            help="What PyTorch computes on; only cpu gives the same bits every time.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(1),
            help="Threads to compute with; another number may round differently. "
            "[default: PyTorch's]",
        ),
        click.option("--resume", is_flag=True, help="Go on after an interruption."),
        click.option(
            "-o",
            "--output",
            type=options.Output(".onnx", "the model file"),
            default=Path(f"{name}.onnx"),
            show_default=True,
            help="Model file; NAME.onnx gets NAME-sheet.png and the folder NAME-run beside it.",
        ),
    )


def _help(name: str, algorithm: Any) -> str:
    lines = "\n".join(
        f"  pixelreg train {name} --data DIR {text}" for text in algorithm.examples_of_use
    )
    return (
        f"{ARCHITECTURES[name].help}\n\n"
        "The networks learn from everybody but the held-out people. After an interruption, repeat "
        "the command with --resume.\n\n"
        f"\b\nExamples:\n{lines}"
    )


def _option(item: Field[Any]) -> Callable[[Any], Any]:
    """An option for a field of an architecture's arguments."""
    flag = f"--{item.name.replace('_', '-')}"
    told: dict[str, Any] = {"default": item.default, "help": item.metadata["help"]}
    if isinstance(item.default, bool):
        return click.option(f"{flag}/--no-{flag[2:]}", item.name, show_default=True, **told)
    if "choices" in item.metadata:
        told["type"] = click.Choice([str(choice) for choice in item.metadata["choices"]])
        told["default"] = str(item.default)
    elif isinstance(item.default, int) and item.name != "seed":
        told["type"] = click.IntRange(1 if item.name in ("size", "width", "batch") else 0)
    elif isinstance(item.default, float):
        told["type"] = click.FloatRange(0)
    else:
        told["type"] = type(item.default)
    return click.option(flag, item.name, show_default=item.default != "", **told)


def _checked(item: Field[Any], value: Any) -> Any:
    """A value of the field's own type; not-a-number passes through click's ranges."""
    kind: Any = type(item.default)
    value = kind(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"--{item.name.replace('_', '-')} must be a finite number, not {value}")
    return value
