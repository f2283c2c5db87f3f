"""Fetching from a server on this machine: whole, resumed, damaged, hostile, absent."""

import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from adhelpers.data.fetch import _ARCHIVES, fetch_category


class _Server(ThreadingHTTPServer):
    """Serves one file with Range support; the next answers break off after ``cuts`` bytes."""

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.cuts, self.ranges, self.supports_ranges = content, [], [], True

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/shares/{name}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        start = (
            int(asked.removeprefix("bytes=").removesuffix("-"))
            if asked and server.supports_ranges
            else 0
        )
        if start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
            )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)

    def log_message(self, *_):
        """Keeps the test's output clean."""


def _archive(members):
    """A tar.xz; ``members`` maps names to content (bytes), or to (type, link target)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                member.type, member.linkname = content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _category_members(category):
    noise = np.random.default_rng(0).bytes(200_000)
    files = {"train/good/000.png": noise, "test/cut/000.png": b"image", "license.txt": b"terms"}
    return {f"{category}/{name}": content for name, content in files.items()}


@pytest.fixture
def serve():
    servers = []

    def start(members):
        content = members if isinstance(members, bytes) else _archive(members)
        server = _Server(content)
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        servers.append(server)
        return server, hashlib.sha256(content).hexdigest()

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _fetch(server, checksum, folder, category="screw", name="screw.tar.xz"):
    return fetch_category(
        category,
        folder,
        accept_license=True,
        url=server.url(name),
        known_hash=checksum,
        show_progress=False,
    )


def test_downloads_and_unpacks_a_category(serve, tmp_path):
    server, checksum = serve(_category_members("screw"))
    target = _fetch(server, checksum, tmp_path / "data")
    assert target == tmp_path / "data" / "screw"
    assert (target / "test" / "cut" / "000.png").read_bytes() == b"image"
    # Nothing else is left behind, and what is there is not fetched again.
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["screw"]
    _fetch(server, checksum, tmp_path / "data")
    assert server.ranges == [None]


def test_goes_on_after_a_cut_within_one_call(serve, tmp_path):
    server, checksum = serve(_category_members("screw"))
    server.cuts = [3 << 14, 2 << 14]
    target = _fetch(server, checksum, tmp_path)
    assert server.ranges == [None, f"bytes={3 << 14}-", f"bytes={5 << 14}-"]
    assert (target / "train" / "good" / "000.png").stat().st_size == 200_000


def test_goes_on_in_the_next_call(serve, tmp_path):
    server, checksum = serve(_category_members("screw"))
    server.cuts = [3 << 14, 0]
    with pytest.raises(ConnectionError, match="place the data by hand"):
        _fetch(server, checksum, tmp_path)
    assert (tmp_path / ".downloads" / "screw.tar.xz.partial").stat().st_size == 3 << 14
    assert not (tmp_path / "screw").exists()
    _fetch(server, checksum, tmp_path)
    assert server.ranges[-1] == f"bytes={3 << 14}-"
    assert (tmp_path / "screw" / "license.txt").read_text() == "terms"


def test_a_complete_partial_file_is_not_downloaded_again(serve, tmp_path):
    server, checksum = serve(_category_members("screw"))
    (tmp_path / ".downloads").mkdir()
    (tmp_path / ".downloads" / "screw.tar.xz.partial").write_bytes(server.content)
    assert (_fetch(server, checksum, tmp_path) / "license.txt").exists()


def test_starts_again_where_the_server_cannot_resume_or_the_partial_file_is_too_long(
    serve, tmp_path
):
    server, checksum = serve(_category_members("screw"))
    server.supports_ranges = False
    (tmp_path / "a" / ".downloads").mkdir(parents=True)
    (tmp_path / "a" / ".downloads" / "screw.tar.xz.partial").write_bytes(b"x" * 1000)
    assert (_fetch(server, checksum, tmp_path / "a") / "license.txt").exists()
    server.supports_ranges = True
    (tmp_path / "b" / ".downloads").mkdir(parents=True)
    (tmp_path / "b" / ".downloads" / "screw.tar.xz.partial").write_bytes(
        b"x" * (len(server.content) + 5)
    )
    assert (_fetch(server, checksum, tmp_path / "b") / "license.txt").exists()


def test_refuses_a_wrong_checksum_and_deletes_the_file(serve, tmp_path):
    server, _ = serve(_category_members("screw"))
    with pytest.raises(ValueError, match="SHA-256 of screw.tar.xz"):
        _fetch(server, "0" * 64, tmp_path)
    assert not (tmp_path / "screw").exists() and not any((tmp_path / ".downloads").iterdir())


def test_uses_the_recorded_checksum_where_none_is_given(serve, tmp_path):
    server, _ = serve(_category_members("screw"))
    with pytest.raises(ValueError, match=_ARCHIVES["screw"][1]):
        fetch_category(
            "screw",
            tmp_path,
            accept_license=True,
            url=server.url("screw.tar.xz"),
            show_progress=False,
        )
    with pytest.raises(ValueError, match="known_hash"):
        fetch_category(
            "screw",
            tmp_path,
            accept_license=True,
            url=server.url("mine.tar.xz"),
            show_progress=False,
        )


def test_unpacks_only_the_category_from_the_whole_archive_and_keeps_the_archive(serve, tmp_path):
    server, checksum = serve(
        _category_members("screw") | _category_members("hazelnut") | {"readme.txt": b"read"}
    )
    name = "mvtec_anomaly_detection.tar.xz"
    _fetch(server, checksum, tmp_path, name=name)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".downloads", "screw"]
    _fetch(server, checksum, tmp_path, category="hazelnut", name=name)
    assert len(server.ranges) == 1 and (tmp_path / "hazelnut" / "license.txt").exists()
    with pytest.raises(ValueError, match="no folder 'wood'"):
        _fetch(server, checksum, tmp_path, category="wood", name=name)


@pytest.mark.parametrize(
    "name, content",
    [
        ("screw/../../evil.txt", b"evil"),
        ("/evil.txt", b"evil"),
        ("screw\\..\\evil.txt", b"evil"),
        ("screw/link", (tarfile.SYMTYPE, "/etc/passwd")),
        ("screw/hard", (tarfile.LNKTYPE, "screw/license.txt")),
        ("screw/pipe", (tarfile.FIFOTYPE, "")),
        ("other/../../evil.txt", b"evil"),
    ],
)
def test_refuses_a_hostile_member_and_leaves_nothing(serve, tmp_path, name, content):
    server, checksum = serve(_category_members("screw") | {name: content})
    folder = tmp_path / "deep" / "data"
    with pytest.raises(ValueError, match="does not belong in a data set"):
        _fetch(server, checksum, folder)
    assert [path.name for path in folder.iterdir()] == [".downloads"]
    assert not list(tmp_path.rglob("evil*"))


def test_names_an_archive_that_is_none(serve, tmp_path):
    server, checksum = serve(b"this is no archive")
    with pytest.raises(ValueError, match="screw.tar.xz cannot be unpacked"):
        _fetch(server, checksum, tmp_path)
    assert not (tmp_path / "screw").exists()


def test_says_how_to_place_the_data_by_hand_without_network(tmp_path):
    server = _Server(b"")
    server.server_close()  # Its port is now closed.
    with pytest.raises(
        ConnectionError, match=r"mvtec-ad/downloads .*tar -xf screw\.tar\.xz"
    ) as caught:
        _fetch(server, "0" * 64, tmp_path)
    assert str(tmp_path / "screw" / "train" / "good") in str(caught.value)


def test_asks_for_the_licence_and_names_the_nearest_categories(tmp_path):
    with pytest.raises(PermissionError, match=r"CC BY-NC-SA 4\.0.*--accept-license"):
        fetch_category("screw", tmp_path)
    with pytest.raises(ValueError, match="did you mean screw"):
        fetch_category("scrw", tmp_path, accept_license=True)
    assert not any(tmp_path.iterdir())
