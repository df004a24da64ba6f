"""``pixelreg serve``: models behind a page and an API of the user's own machine."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pixelreg.api import default_model
from pixelreg.commands import options
from pixelreg.commands.console import quiet, say
from pixelreg.errors import UsageError, need
from pixelreg.models import NAMED

if TYPE_CHECKING:
    from pixelreg.faces.locate import Locator
    from pixelreg.translator import Translator

PACKAGES = {"starlette": "starlette", "uvicorn": "uvicorn", "python_multipart": "python-multipart"}


@click.command()
@click.option(
    "--model",
    "files",
    multiple=True,
    type=options.MODEL,
    help="rig, flow, rr, or a model file; may be repeated. [default: all that are at hand]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@options.integer("--port", 0, 65535, 8000, "Port to listen on; 0 takes a free one.")
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name that the server may be called by, such as a proxy's; may be repeated.",
)
@options.integer("--max-mb", 1, 1000, 20, "Largest request, in MiB.")
@options.integer("--max-megapixels", 1, 89, 25, "Largest picture, in million pixels.")
@click.option(
    "--time-limit",
    type=click.FloatRange(0, 3600, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds that a request may take.",
)
@options.integer("--workers", 1, 64, 2, "Pictures that are computed at once.")
@options.integer("--waiting", 0, 1000, 16, "Requests that may wait; more are told to come again.")
@options.running
@options.locating
@quiet
def serve(
    files: tuple[str | Path, ...],
    host: str,
    port: int,
    hosts: tuple[str, ...],
    max_mb: int,
    max_megapixels: int,
    time_limit: float,
    workers: int,
    waiting: int,
    running: options.Running,
    locator: Locator,
) -> int:
    """Answer on this machine: a page at /, an API at /api/apply, described at /openapi.json.

    Pictures are kept in memory while they are computed, and nowhere else. Ctrl-C ends it.

    \b
    Examples:
      pixelreg serve
      pixelreg serve --model mine.safetensors --port 9000
      curl -F image=@in.jpg 'http://127.0.0.1:8000/api/apply?expression=happy' -o out.jpg
      pixelreg serve --host 0.0.0.0 --allow-host faces.example.org
    """
    for module, package in PACKAGES.items():
        need(module, package, "serve", "pixelreg serve")
    from pixelreg.server.app import Service
    from pixelreg.server.guard import Guard
    from pixelreg.server.limits import Limits
    from pixelreg.server.menu import Menu
    from pixelreg.server.running import serve as answer

    limits = Limits(max_mb * 2**20, max_megapixels * 10**6, time_limit, workers, waiting)
    chosen = files or (*dict.fromkeys((default_model(), *NAMED)),)
    menu = Menu(_loaded(chosen, running, locator))

    def ready(address: str) -> None:
        say(f"serving {', '.join(menu.models)} at {address}; Ctrl-C ends it")
        if not _is_loopback(host):
            say("warning: everybody who reaches this address may ask; there is no password")

    answer(Service(menu, limits, Guard((*hosts, host))), host, port, ready)
    return 0


def _loaded(
    files: tuple[str | Path, ...], running: options.Running, locator: Locator
) -> dict[str, Translator]:
    """Models by the name that requests know them by: no more of their files than that."""
    models: dict[str, Translator] = {}
    for file in files:
        name = str(file) if file in NAMED else Path(file).stem
        if name in models:
            raise UsageError(f"two models are called {name}; rename one of the files")
        models[name] = running.load(file, locator)
    return models


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
