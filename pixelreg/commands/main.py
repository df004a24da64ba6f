"""The ``pixelreg`` command: a table of sub-commands, and one place where failures are told."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from pixelreg import __version__
from pixelreg.commands.console import printable, quiet
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
    "export": ("pixelreg.commands.export:export", "Turn a model into C, ONNX or a web page."),
    "serve": ("pixelreg.commands.serve:serve", "Answer on this machine: a page and an API."),
    "info": ("pixelreg.commands.info:info", "Show what a model file holds."),
    "data": ("pixelreg.commands.data:data", "List, draw or download training pictures."),
    "demo": ("pixelreg.commands.demo:demo", "Draw faces, fit two models, show what they do."),
}


# Their products are small, and there are as many photos as cores, or more: threads of NumPy's own
# would only wait for each other, which took a fifth of the processor's time. Read at its import.
ONE_THREAD, THREADS = ("apply", "landmarks"), ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


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
        collects = gc.isenabled()
        gc.disable()  # modules make no garbage, and looking for it takes a tenth of their import
        try:
            return getattr(import_module(module), attribute)
        finally:
            if collects:
                gc.enable()

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
    _open_the_closed()
    if sys.argv[1:2] and sys.argv[1] in ONE_THREAD and not any(map(os.environ.get, THREADS)):
        os.environ[THREADS[0]] = "1"
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may be any bytes
    # Pillow warns of pictures of many pixels, which are refused in a line of ours.
    warnings.filterwarnings("ignore", r"Image size \(\d+ pixels\) exceeds limit")
    as_before = warnings.formatwarning
    warnings.formatwarning = lambda *told, **more: printable(as_before(*told, **more))
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # not under nohup
            signal.signal(number, _stop)
    sys.exit(main())


def _stop(number: int, frame: object) -> None:
    """Whoever ends a command, a person or the system, ends it as Ctrl-C does."""
    raise KeyboardInterrupt


def _open_the_closed() -> None:
    """Give stdin, stdout and stderr a place where they were closed.

    Else the next file that is opened would take their number, and what is printed go into it. What
    is written to a closed stdout fails, as it is lost; stderr has no one to tell.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            handle = os.open(os.devnull, flags)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _drop_output() -> None:
    """Let the interpreter not try again at exit what could not be written to stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(message: str, code: int) -> int:
    line = " ".join(message.split())
    with contextlib.suppress(OSError):  # nobody listens any more
        click.echo(f"pixelreg: error: {printable(line)}", err=True)
    return code
