"""The downloader against a local server and a registry made for the test."""

from __future__ import annotations

import hashlib
import io
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from pixelreg.data.download import data_source, download, read_registry, source_names
from pixelreg.data.layouts import scan
from pixelreg.errors import DataError, MissingExtraError, UnknownNameError, UsageError

PATHS = (
    "neutral_front/001_03.jpg",
    "neutral_front/001_03.tem",
    "smiling_front/001_08.jpg",
)


Fetch = Callable[..., list[Path]]


class Server:
    """Files in memory behind http://127.0.0.1, with the requests that were made."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.requests: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.removeprefix("/set/")
                server.requests.append(path)
                if path not in server.files:
                    self.send_error(404)
                    return
                body = server.files[path]
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if path in server.cut else body)

            def log_message(self, *args: object) -> None:
                """Keep the test's output clean."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/set"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def content(path: str) -> bytes:
    if path.endswith(".tem"):
        return b"0\n"
    file = io.BytesIO()
    Image.new("RGB", (40, 50), "tan" if "neutral" in path else "pink").save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    pytest.importorskip("pooch")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    server.files = {path: content(path) for path in PATHS}
    yield server
    server.close()


@pytest.fixture
def registry(server: Server, tmp_path: Path) -> Path:
    lines = [
        f"{path} sha256:{hashlib.sha256(body).hexdigest()} {len(body)}"
        for path, body in server.files.items()
    ]
    file = tmp_path / "registry.txt"
    file.write_text("# a set for the test\n\n" + "\n".join(lines) + "\n")
    return file


@pytest.fixture
def fetch(server: Server, registry: Path, tmp_path: Path) -> Fetch:
    """Download the set from the server into the folder ``set``."""
    options = {"base_url": server.url, "registry": registry}
    return lambda **more: download("london", tmp_path / "set", **{**options, **more})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, hidden and temporary ones included."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_download_gives_a_set_that_scan_reads(
    server: Server, registry: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "deep" / "london"
    paths = download("london", folder, base_url=server.url, registry=registry, progress=True)
    assert paths == [folder / path for path in PATHS]
    assert contents(folder) == server.files
    assert server.requests == list(PATHS)
    assert all(p.stat().st_mode & 0o777 == p.parent.stat().st_mode & 0o666 for p in paths)
    listing = scan(folder)
    assert (listing.layout, listing.expressions) == ("london", {"neutral": 1, "happy": 1})
    assert listing.problems == ()


def test_download_is_silent(server: Server, registry: Path, tmp_path: Path) -> None:
    done = in_a_process("", tmp_path / "set", server.url, registry)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def in_a_process(before: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pixelreg.data.download import download\n"
        f"{before}\n"
        "folder, url, registry = sys.argv[1:]\n"
        "download('london', Path(folder), base_url=url, registry=Path(registry), progress=True)\n"
    )
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_second_run_fetches_nothing(server: Server, fetch: Fetch) -> None:
    first = fetch()
    times = [path.stat().st_mtime_ns for path in first]
    server.requests.clear()
    assert fetch() == first
    assert server.requests == []
    assert [path.stat().st_mtime_ns for path in first] == times


def test_an_interrupted_run_goes_on_where_it_stopped(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    server.cut.add(PATHS[2])
    with pytest.raises(DataError, match=rf"{PATHS[2]}.*run the same command again"):
        fetch()
    assert set(contents(tmp_path / "set")) == set(PATHS[:2])
    server.cut.clear()
    server.requests.clear()
    fetch()
    assert server.requests == [PATHS[2]]
    assert contents(tmp_path / "set") == server.files


def test_a_partial_file_is_fetched_again(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    partial = tmp_path / "set" / PATHS[0]
    partial.parent.mkdir(parents=True)
    partial.write_bytes(server.files[PATHS[0]][:100])
    fetch()
    assert contents(tmp_path / "set") == server.files


def test_a_wrong_hash_is_refused_and_leaves_an_older_file_alone(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    body = server.files[PATHS[2]]
    server.files[PATHS[2]] = body[:-1] + bytes([body[-1] ^ 1])
    with pytest.raises(DataError) as error:
        fetch()
    message = str(error.value)
    assert message.startswith(f"refused {PATHS[2]}: ")
    assert hashlib.sha256(body).hexdigest() in message
    assert "\n" not in message
    assert set(contents(tmp_path / "set")) == set(PATHS[:2])
    old = tmp_path / "set" / PATHS[2]
    old.parent.mkdir(exist_ok=True)
    old.write_bytes(b"my own picture")
    with pytest.raises(DataError, match="refused"):
        fetch()
    assert old.read_bytes() == b"my own picture"
    assert len(contents(tmp_path / "set")) == 3


def test_only_some_files(fetch: Fetch, tmp_path: Path) -> None:
    assert fetch(only="*.jpg") == [tmp_path / "set" / PATHS[0], tmp_path / "set" / PATHS[2]]
    assert set(contents(tmp_path / "set")) == {PATHS[0], PATHS[2]}
    with pytest.raises(UsageError, match=r"'\*\.png', which has files such as neutral_front"):
        fetch(only="*.png")


def test_a_missing_file_on_the_server(server: Server, fetch: Fetch) -> None:
    del server.files[PATHS[1]]
    with pytest.raises(DataError, match=rf"answered 404 .*/{PATHS[1]}"):
        fetch()


def test_offline_names_the_cure(fetch: Fetch, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(DataError) as error:
            fetch(base_url=url)
    message = str(error.value)
    for part in (f"cannot fetch {url}/{PATHS[0]}", "check the network", str(tmp_path / "set")):
        assert part in message
    assert "\n" not in message
    assert contents(tmp_path / "set") == {}


def test_a_file_where_the_folder_should_be(fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "set").write_text("taken")
    with pytest.raises(DataError, match="cannot write"):
        fetch()


def test_without_pooch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtraError, match=r"pixelreg\[data\]"):
        download("london", tmp_path)


def test_unknown_set(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown data set 'paris'; choose one of: london"):
        download("paris", tmp_path)


LONDON = Path(sys.modules[download.__module__].__file__ or "").parent / "registries/london.txt"


def test_the_registry_of_london_describes_the_real_files(london: Path) -> None:
    entries = read_registry(LONDON.read_text("utf-8"))
    there = [entry for entry in entries if (london / entry.path).exists()]
    assert len(there) == 240
    for entry in there:
        body = (london / entry.path).read_bytes()
        assert (len(body), hashlib.sha256(body).hexdigest()) == (entry.size, entry.sha256)


def test_the_registry_of_london_is_whole() -> None:
    entries = read_registry(LONDON.read_text("utf-8"))
    people = {entry.path[-10:-7] for entry in entries}
    assert (len(entries), len(people)) == (306, 102)
    kinds = "neutral_front/{}_03.jpg", "neutral_front/{}_03.tem", "smiling_front/{}_08.jpg"
    assert {entry.path for entry in entries} == {k.format(p) for k in kinds for p in people}


def test_sources_state_their_terms() -> None:
    assert source_names() == ("london",)
    source = data_source("london")
    assert "CC BY 4.0" in source.licence
    assert "10.6084/m9.figshare.5047666" in source.attribution
    assert source.base_url.startswith("https://")
    assert "fa8b78fda2d659bb74ce62fcd99c4407551d2a77" in source.base_url


HASH = "0" * 64


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.jpg", "is not 'path"),
        (f"a.jpg md5:{HASH} 3", "is not 'path"),
        (f"a.jpg sha256:{HASH[:-1]} 3", "is not 'path"),
        (f"/etc/a.jpg sha256:{HASH} 3", "outside"),
        (f"../a.jpg sha256:{HASH} 3", "outside"),
        (f"a/../../b.jpg sha256:{HASH} 3", "outside"),
        (f"a\\..\\b.jpg sha256:{HASH} 3", "outside"),
        (f"C:/b.jpg sha256:{HASH} 3", "outside"),
        (f"b.jpg sha256:{HASH} 3", "again"),
    ],
)
def test_bad_registries(line: str, reason: str) -> None:
    with pytest.raises(DataError, match=f"registry line 2 .*{reason}"):
        read_registry(f"b.jpg sha256:{HASH} 3\n{line}\n")


def test_a_registry_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the registry"):
        download("london", tmp_path, registry=tmp_path / "none.txt")


def test_interrupting_leaves_nothing_under_the_final_name(
    server: Server, registry: Path, tmp_path: Path
) -> None:
    """A process killed in the middle of a file leaves no file of that name."""
    body = bytes(range(256)) * 20_000
    server.files = {"big.bin": body}
    registry.write_text(f"big.bin sha256:{hashlib.sha256(body).hexdigest()} {len(body)}\n")
    die = (
        "import os, requests\n"
        "chunks = requests.Response.iter_content\n"
        "def die(self, chunk_size):\n"
        "    for number, chunk in enumerate(chunks(self, chunk_size)):\n"
        "        if number == 3:\n"
        "            os._exit(9)\n"
        "        yield chunk\n"
        "requests.Response.iter_content = die"
    )
    folder = tmp_path / "set"
    assert in_a_process(die, folder, server.url, registry).returncode == 9
    assert not (folder / "big.bin").exists()
    assert any(0 < len(part) < len(body) for part in contents(folder).values())
    download("london", folder, base_url=server.url, registry=registry)
    assert (folder / "big.bin").read_bytes() == body
