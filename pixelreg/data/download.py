"""Public data sets, fetched file by file and checked against a registry of SHA-256 hashes."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from pixelreg.errors import DataError, UnknownNameError, UsageError, need

_TIMEOUT = 30  # seconds without an answer
_CHUNK = 1 << 16  # bytes
_RETRIES = 1


@dataclass(frozen=True)
class DataSource:
    """Where a public data set comes from and on which terms."""

    title: str
    registry: str
    base_url: str
    licence: str
    attribution: str


_SOURCES = {
    "london": DataSource(
        title="Face Research Lab London Set",
        registry="london.txt",
        base_url="https://raw.githubusercontent.com/debruine/webmorphR.stim/"
        "fa8b78fda2d659bb74ce62fcd99c4407551d2a77/inst/",
        licence="CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)",
        attribution="DeBruine, L., & Jones, B. (2017). Face Research Lab London Set (Version 5). "
        "figshare. https://doi.org/10.6084/m9.figshare.5047666.v5",
    ),
}


@dataclass(frozen=True)
class RegistryEntry:
    """One file of a set: its place in the set's folder, its hash and its size."""

    path: str
    sha256: str
    size: int


def source_names() -> tuple[str, ...]:
    """The names of the sets that can be downloaded."""
    return tuple(_SOURCES)


def data_source(name: str) -> DataSource:
    """The address, licence and attribution of a set."""
    if name not in _SOURCES:
        raise UnknownNameError("data set", name, _SOURCES)
    return _SOURCES[name]


def read_registry(text: str) -> tuple[RegistryEntry, ...]:
    """Read a registry: lines of ``path sha256:HEX bytes``, but for empty ones and ``#``."""
    entries: dict[str, RegistryEntry] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"(\S+) sha256:([0-9a-f]{64}) (\d+)", line.strip())
        if match is None:
            raise DataError(f"registry line {number} is not 'path sha256:HEX bytes': {line!r}")
        path = match[1]
        if PurePosixPath(path).is_absolute() or re.search(r"(^|/)\.\.(/|$)|[\\:]", path):
            raise DataError(f"registry line {number} has a path outside the folder: {path}")
        if path in entries:
            raise DataError(f"registry line {number} lists {path} again")
        entries[path] = RegistryEntry(path, match[2], int(match[3]))
    return tuple(entries.values())


def download(
    name: str,
    folder: Path,
    *,
    base_url: str | None = None,
    only: str | None = None,
    progress: bool = False,
    registry: Path | None = None,
) -> list[Path]:
    """Fetch a public data set into a folder, in the layout that ``scan`` reads.

    Files that are already there with the right hash are not fetched again, so an interrupted
    download goes on where it stopped. A file appears under its name only when it is complete and
    its SHA-256 is right.

    base_url : another address to take the files from, such as a mirror.
    only : a pattern for paths, such as ``"neutral_front/*"``; everything without it.
    progress : whether to draw a bar on standard error, which is done on a terminal only.
    registry : another registry file (see :func:`read_registry`) than the set's own.

    Returns: The paths of the files, in the order of the registry.
    """
    source = data_source(name)
    entries = _entries(registry or files("pixelreg.data") / "registries" / source.registry, only)
    base = (source.base_url if base_url is None else base_url).rstrip("/") + "/"
    pooch = need("pooch", "pooch", "data", "downloading data sets")
    store = pooch.Pooch(
        path=Path(folder),
        base_url=base,
        registry={entry.path: f"sha256:{entry.sha256}" for entry in entries},
        retry_if_failed=_RETRIES,
    )
    downloader = pooch.HTTPDownloader(chunk_size=_CHUNK, timeout=_TIMEOUT)
    paths = []
    with _quiet(pooch.get_logger()), _bar(entries, progress) as done:
        for entry in entries:
            paths.append(_fetch(store, downloader, entry, Path(folder)))
            done(entry.size)
    return paths


def _entries(registry: Any, only: str | None) -> list[RegistryEntry]:
    """The files to fetch, by a registry's file or resource."""
    try:
        text = registry.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the registry {registry}: {error}") from error
    entries = read_registry(text)
    if only is None:
        return list(entries)
    chosen = [entry for entry in entries if fnmatchcase(entry.path, only)]
    if not chosen:
        example = f", which has files such as {entries[0].path}" if entries else ""
        raise UsageError(f"no file of the set fits {only!r}{example}")
    return chosen


def _fetch(store: Any, downloader: Any, entry: RegistryEntry, folder: Path) -> Path:
    """Fetch one file unless it is there and right; failures become one clear line."""
    network_error = need("requests", "requests", "data", "downloading").RequestException
    path = folder / entry.path
    before = _identity(path)
    try:
        store.fetch(entry.path, downloader=downloader)
        if _identity(path) != before:
            # The downloader leaves files readable by their owner alone.
            path.chmod(path.parent.stat().st_mode & 0o666)
    except network_error as error:
        raise DataError(_network_failure(store.get_url(entry.path), folder, error)) from error
    except ValueError as error:  # how pooch reports a wrong hash
        raise DataError(
            f"refused {entry.path}: what {store.get_url(entry.path)} sent does not have the "
            f"SHA-256 {entry.sha256}; nothing was kept of it; try again later or another address"
        ) from error
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _identity(path: Path) -> tuple[int, int] | None:
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


def _network_failure(url: str, folder: Path, error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} ({response.reason}) for {url}"
    return (
        f"cannot fetch {url} ({type(error).__name__}); check the network connection or proxy and "
        f"run the same command again (complete files are kept), or copy the files into {folder}"
    )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep the downloader's line for every file off standard error."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _bar(entries: list[RegistryEntry], progress: bool) -> Iterator[Any]:
    """A function to call with the number of bytes done, and the bar behind it if wanted."""
    if not (progress and sys.stderr.isatty()):
        yield lambda size: None
        return
    import click

    total = sum(entry.size for entry in entries)
    with click.progressbar(length=total, label=f"{len(entries)} files", file=sys.stderr) as bar:
        yield bar.update
