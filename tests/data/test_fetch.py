"""Fetching from a server on this machine: whole, resumed, damaged, hostile, absent."""

import hashlib
import io
import lzma
import os
import shutil
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from adhelpers.data import fetch
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


def _fetch(server, checksum, folder, category="screw", name="screw.tar.xz", overwrite=False):
    return fetch_category(
        category,
        folder,
        accept_license=True,
        url=server.url(name),
        known_hash=checksum,
        show_progress=False,
        overwrite=overwrite,
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


@pytest.fixture
def own(tmp_path):
    """A folder of the user's where the category would come, which is none yet."""
    (tmp_path / "screw" / "ground_truth").mkdir(parents=True)
    (tmp_path / "screw" / "mine.png").write_bytes(b"mine")
    (tmp_path / "screw" / "ground_truth" / "mine_mask.png").write_bytes(b"mask")
    return tmp_path / "screw"


def _held(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_that_was_not_fetched_stays(serve, tmp_path, own):
    server, checksum = serve(_category_members("screw"))
    before = _held(own)
    with pytest.raises(FileExistsError) as caught:
        _fetch(server, checksum, tmp_path)
    for said in ("2 files (ground_truth/mine_mask.png, mine.png) not fetched", "--overwrite"):
        assert said in str(caught.value)
    assert _held(own) == before and server.ranges == []
    # Nor does a manifest that lists nothing, is another file or a pipe make it fetched.
    for content in ("{}", "[1]", '{"files": 3}', "\x00", '{"files": {"mine.png": "abc"}}'):
        (own / ".fetched.json").write_text(content)
        with pytest.raises(FileExistsError, match="mine.png"):
            _fetch(server, checksum, tmp_path)
    (own / ".fetched.json").unlink()
    os.mkfifo(own / ".fetched.json")
    with pytest.raises(FileExistsError, match="3 files"):
        _fetch(server, checksum, tmp_path)


@pytest.mark.parametrize("kind", ["file", "link to a file", "link to nothing"])
def test_what_is_no_folder_stays_too(serve, tmp_path, kind):
    server, checksum = serve(_category_members("screw"))
    (tmp_path / "kept").write_text("kept")
    if kind == "file":
        (tmp_path / "screw").write_text("mine")
    else:
        (tmp_path / "screw").symlink_to(tmp_path / ("kept" if "file" in kind else "nothing"))
    with pytest.raises(FileExistsError, match=r"1 file \(screw\) not fetched"):
        _fetch(server, checksum, tmp_path)
    assert (tmp_path / "screw").is_symlink() == (kind != "file")
    target = _fetch(server, checksum, tmp_path, overwrite=True)
    assert (target / "license.txt").exists() and not target.is_symlink()
    assert (tmp_path / "kept").read_text() == "kept"


def test_overwrite_names_what_is_deleted(serve, tmp_path, own, capsys):
    server, checksum = serve(_category_members("screw"))
    target = _fetch(server, checksum, tmp_path, overwrite=True)
    said = capsys.readouterr().err
    assert "screw: deleting 2 files (ground_truth/mine_mask.png, mine.png) not fetched" in said
    assert "mine.png" not in _held(target) and (target / "license.txt").read_text() == "terms"
    # A whole category is fetched again, too; nothing of the user's goes.
    (target / "license.txt").unlink()
    _fetch(server, checksum, tmp_path, overwrite=True)
    assert (target / "license.txt").exists() and capsys.readouterr().err == ""


def test_an_incomplete_folder_that_was_fetched_is_fetched_again(serve, tmp_path):
    server, checksum = serve(_category_members("screw"))
    target = _fetch(server, checksum, tmp_path)
    whole = _held(target)
    shutil.rmtree(target / "test")
    assert _held(_fetch(server, checksum, tmp_path)) == whole
    # Not where there is a file beside them, a link, or an image that was changed.
    for name, make in (
        ("mine.png", lambda path: path.write_bytes(b"mine")),
        ("linked", lambda path: path.symlink_to(tmp_path)),
        ("train/good/000.png", lambda path: path.write_bytes(b"retouched")),
    ):
        shutil.rmtree(target / "test", ignore_errors=True)
        make(target / name)
        with pytest.raises(FileExistsError, match=rf"1 file \({name}\) not fetched"):
            _fetch(server, checksum, tmp_path)
        (target / name).unlink()


def test_what_comes_during_the_download_stays(serve, tmp_path, monkeypatch):
    server, checksum = serve(_category_members("screw"))
    unpack = fetch._unpack

    def while_unpacking(*arguments):
        unpack(*arguments)
        (tmp_path / "screw").mkdir()
        (tmp_path / "screw" / "mine.png").write_bytes(b"mine")

    monkeypatch.setattr(fetch, "_unpack", while_unpacking)
    with pytest.raises(OSError, match=r"1 file \(mine.png\) not fetched"):
        _fetch(server, checksum, tmp_path)
    assert _held(tmp_path / "screw") == {"mine.png": b"mine"}


def _bomb(name, size, **header):
    """An archive with a member of zeros beside a harmless one."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", format=tarfile.PAX_FORMAT) as tar:
        for one, length in (("screw/license.txt", 5), (name, size)):
            member = tarfile.TarInfo(one)
            member.size = length
            member.pax_headers = header if one == name else {}
            tar.addfile(member, io.BytesIO(bytes(length)))
    return buffer.getvalue()


# With a mebibyte of 100 bytes the archive of screws may have 18,700 and unpack to four times that,
# the one of all categories 502,200.
@pytest.mark.parametrize(
    "content, message",
    [
        (_bomb("screw/zeros.png", 75_000), "more than 'screw'.*'screw/zeros.png' of 0.1 MB"),
        (_bomb("wood/zeros.png", 2_100_000), "more than 'screw'.*'wood/zeros.png' of 2.1 MB"),
        (_bomb("wood/a.png", 5, comment="x" * 1_200_000), "unpacked .more between two members"),
        (lzma.compress(bytes(512) + bytes(3_000_000)), "no folder 'screw'"),
    ],
)
def test_a_bomb_with_the_users_own_checksum_is_refused(
    serve, tmp_path, monkeypatch, content, message
):
    monkeypatch.setattr(fetch, "_MEBIBYTE", 100)
    server, checksum = serve(content)
    with pytest.raises(ValueError, match=message):
        _fetch(server, checksum, tmp_path)
    assert not (tmp_path / "screw").exists()


def test_what_just_fits_is_unpacked(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_MEBIBYTE", 100)
    server, checksum = serve(_bomb("screw/zeros.png", 4 * 187 * 100 - 5))
    assert (_fetch(server, checksum, tmp_path) / "zeros.png").stat().st_size == 74_795


def test_a_download_is_as_large_as_the_known_archive_at_most(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_MEBIBYTE", 100)
    server, checksum = serve(np.random.default_rng(0).bytes(20_000))
    for known, message in ((None, r"more than the 0\.0 MB"), (checksum, "cannot be unpacked")):
        with pytest.raises(ValueError, match=message):
            _fetch(server, known, tmp_path)
    server, checksum = serve(bytes(502_201))
    with pytest.raises(ValueError, match=r"more than the 0\.5 MB"):
        _fetch(server, checksum, tmp_path)


def test_an_archive_may_be_packed_otherwise(serve, tmp_path):
    for mode, suffix in (("w:gz", ".gz"), ("w:bz2", ".bz2"), ("w", "")):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode) as tar:
            member = tarfile.TarInfo("screw/license.txt")
            member.size = 5
            tar.addfile(member, io.BytesIO(b"terms"))
        server, checksum = serve(buffer.getvalue())
        folder = tmp_path / f"packed{suffix}"
        target = _fetch(server, checksum, folder, name=f"screw.tar{suffix}")
        assert (target / "license.txt").read_text() == "terms"
        server, checksum = serve(buffer.getvalue()[:60])
        with pytest.raises(ValueError, match="cannot be unpacked"):
            _fetch(server, checksum, tmp_path / f"cut{suffix}", name=f"screw.tar{suffix}")


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
