"""The ``pixelreg`` command: a table of sub-commands, and one place where failures are told."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from pixelreg import __version__
from pixelreg.commands.console import quiet
from pixelreg.errors import PixelregError

# name -> (module:attribute, what --help says), so that --help imports no command.
COMMANDS = {
    "fit": ("pixelreg.commands.fit:fit", "Learn an expression from a folder of pairs."),
    "merge": ("pixelreg.commands.merge:merge", "Fit a model to sums that were made apart."),
    "apply": ("pixelreg.commands.apply:apply", "Change the expression in pictures."),
    "landmarks": (
        "pixelreg.commands.landmarks:landmarks",
        "Mark faces with 82 points, as files and pictures.",
    ),
    "compare": ("pixelreg.commands.compare:compare", "Show models side by side."),
    "evaluate": ("pixelreg.commands.evaluate:evaluate", "Score a model on a folder of pairs."),
    "bench": ("pixelreg.commands.bench:bench", "Measure models as the papers do, as a page."),
    "study": ("pixelreg.commands.study:study", "Ask people which pictures are best, blind."),
    "train": ("deep_onnx.commands.train:train", "Train a deep model, and export it as ONNX."),
    "generate": ("deep_onnx.commands.generate:generate", "Make new pictures from noise."),
    "portrait": ("deep_onnx.commands.portrait:portrait", "Change a portrait by its mask."),
    "quantise": ("deep_onnx.commands.quantise:quantise", "Make an ONNX model smaller."),
    "export-torch": (
        "deep_onnx.commands.export_torch:export_torch",
        "Turn published PyTorch weights into an ONNX model.",
    ),
    "blendshape": (
        "pixelreg.commands.shapes:blendshape",
        "Learn sparse components of expressions.",
    ),
    "export": ("pixelreg.commands.export:export", "Turn a model into C source."),
    "serve": ("pixelreg.commands.serve:serve", "Answer on this machine: a page and an API."),
    "info": ("pixelreg.commands.info:info", "Show what a model file holds."),
    "data": ("pixelreg.commands.data:data", "List, draw or download training pictures."),
    "demo": ("pixelreg.commands.demo:demo", "Draw faces, fit two models, show what they do."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called.

    lazy : name -> ("module:attribute", one line of help).
    """

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.lazy and not args[0].startswith("-"):
            ctx.fail(f"no such command {args[0]!r}; choose one of: {', '.join(self.lazy)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@quiet
@click.version_option(__version__, prog_name="pixelreg")
def cli() -> None:
    """Small, exact, fast image-to-image regression.

    \b
    Examples:
      pixelreg fit --data faces/
      pixelreg apply in.png --expr happy
      pixelreg demo
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 (failure) or 2 (usage)."""
    try:
        result = cli.main(
            args=None if args is None else list(args), prog_name="pixelreg", standalone_mode=False
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except PixelregError as error:
        return _tell(str(error), error.exit_code)
    except click.UsageError as error:
        if error.ctx and isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            click.echo(error.ctx.get_help(), err=True)  # click 8.1 does this itself
            return 2
        hint = f" (see: {error.ctx.command_path} --help)" if error.ctx else ""
        return _tell(error.format_message() + hint, 2)
    except click.ClickException as error:
        return _tell(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.exceptions.Abort):
        return _tell("stopped before the end; nothing half-written was left behind", 1)
    except BrokenPipeError:
        _drop_output()  # its reader has gone, and knows
        return 1
    except OSError as error:
        if error.filename is None:
            _drop_output()
        where = "the output" if error.filename is None else error.filename
        return _tell(f"cannot read or write {where}: {error.strerror or error}", 1)
    except MemoryError:
        return _tell("out of memory; use a smaller --size or fewer pictures", 1)


def run() -> None:
    """The installed ``pixelreg`` command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may be any bytes
    sys.exit(main())


def _drop_output() -> None:
    """Let the interpreter not try again at exit what could not be written to stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(message: str, code: int) -> int:
    line = " ".join(message.split())
    click.echo(f"pixelreg: error: {line}", err=True)
    return code
