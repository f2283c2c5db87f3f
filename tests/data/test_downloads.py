"""Downloads from servers that are broken or mean: each ends, and what can be resumed is."""

import itertools
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import requests

from adhelpers.data.downloads import DownloadLimits, DownloadTooLarge, ResumingDownloader

CONTENT = np.random.default_rng(0).bytes(100_000)
SIZE = len(CONTENT)
LIMITS = DownloadLimits(size=120_000)
IMPATIENT = replace(LIMITS, connect=0.1, answer=0.1, slowest=50_000, window=0.1)


class _Server(ThreadingHTTPServer):
    """Gives each request to the next of ``answers``; the last one answers all others."""

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.ranges = list(answers), []


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.ranges.append(self.headers.get("Range"))
        answers = self.server.answers
        try:
            (answers.pop(0) if len(answers) > 1 else answers[0])(self)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def log_message(self, *_):
        """Keeps the test's output clean."""


def answer(body=CONTENT, status=200, **headers):
    """An answer with a body: bytes, or pieces of it; headers of None are left out."""

    def send(handler):
        handler.send_response(status)
        pieces = [body] if isinstance(body, bytes) else body()
        known = {"Content_Length": len(body)} if isinstance(body, bytes) else {}
        for name, value in (known | headers).items():
            if value is not None:
                handler.send_header(name.replace("_", "-"), str(value))
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(piece)

    return send


def part(start):
    return answer(CONTENT[start:], 206, Content_Range=f"bytes {start}-{SIZE - 1}/{SIZE}")


def endless():
    return itertools.repeat(bytes(1 << 14))


def trickle():
    """A byte at a time, for ever."""
    while True:
        yield b"x"
        time.sleep(0.01)


@pytest.fixture
def download(tmp_path):
    """Function that downloads from a server with these answers: the content, and the server."""
    servers = []

    def run(*answers, limits=LIMITS, partial=b""):
        server = _Server(answers)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        if partial:
            (tmp_path / "file.xz.partial").write_bytes(partial)
        url = f"http://127.0.0.1:{server.server_port}/file.xz"
        ResumingDownloader(limits, "Downloading", False)(url, str(tmp_path / "out"))
        return (tmp_path / "out").read_bytes(), server

    yield run
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_whole_file_and_the_rest_of_one(download, tmp_path):
    assert download(answer())[0] == CONTENT
    content, server = download(part(40_000), partial=CONTENT[:40_000])
    assert content == CONTENT and server.ranges == ["bytes=40000-"]
    assert not (tmp_path / "file.xz.partial").exists()


@pytest.mark.parametrize(
    "first",
    [
        # What may be continued is another file, or the server does not say where its part begins.
        answer(b"", 416, Content_Range="bytes */77"),
        answer(b"", 416),
        answer(CONTENT[1:], 206, Content_Range="bytes 1-99999/100000"),
        answer(CONTENT[40_000:], 206),
        answer(CONTENT[40_000:], 206, Content_Range="bytes 40000-99999/77777"),
        answer(CONTENT[40_000:], 206, Content_Range="bytes 40000-99999/many"),
    ],
)
def test_an_answer_that_cannot_be_continued_is_a_fresh_start(download, first):
    content, server = download(first, answer(), partial=CONTENT[:40_000])
    assert content == CONTENT and server.ranges == ["bytes=40000-", None]


def test_a_server_that_refuses_also_the_fresh_start_is_asked_once_more_only(download):
    refusal = answer(b"", 416, Content_Range="bytes */77")
    with pytest.raises(requests.HTTPError, match="416"):
        download(refusal, partial=CONTENT[:40_000])


@pytest.mark.parametrize("length", ["many", "-5", "1e5", "²", "", None])
def test_a_length_that_is_none_is_unknown(download, length):
    assert download(answer(Content_Length=length))[0] == CONTENT


def test_a_length_that_promises_too_much_is_a_cut(download):
    complete = answer(b"", 416, Content_Range=f"bytes */{len(CONTENT)}")
    content, server = download(answer(Content_Length=110_000), complete)
    assert content == CONTENT and server.ranges == [None, f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize(
    "mean",
    [
        answer(endless),
        answer(b"x", Content_Length=10**15),
        answer(
            b"x", 206, Content_Range=f"bytes 40000-{10**15 - 1}/{10**15}", Content_Length=10**15
        ),
    ],
)
def test_more_than_the_file_has_is_stopped_and_not_kept(download, tmp_path, mean):
    with pytest.raises(DownloadTooLarge, match=r"sends more than the 0\.1 MB.*another file"):
        download(mean)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [None, 90_000])
def test_a_trickle_is_stopped_and_what_has_arrived_is_kept(download, tmp_path, length):
    body = answer(lambda: itertools.chain([CONTENT[:20_000]], trickle()), Content_Length=length)

    def rest(handler):
        start = handler.headers["Range"].removeprefix("bytes=")
        answer(trickle, 206, Content_Range=f"bytes {start}{SIZE - 1}/{SIZE}")(handler)

    with pytest.raises(requests.Timeout, match=r"less than 50 kB a second arrived over 0\.1 s"):
        download(body, rest, limits=IMPATIENT)
    kept = (tmp_path / "file.xz.partial").read_bytes()[:20_000]
    assert kept and CONTENT.startswith(kept)


def test_headers_that_trickle_are_stopped(download):
    def send(handler):
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
        for piece in trickle():
            handler.wfile.write(piece)

    with pytest.raises(requests.Timeout, match=r"no answer within 0\.1 s"):
        download(send, limits=IMPATIENT)


def test_the_body_of_a_redirection_is_not_read(download):
    content, server = download(answer(endless, 302, Location="/other.xz"), answer())
    assert content == CONTENT and len(server.ranges) == 2


def test_nothing_is_unpacked_on_the_way(download):
    """Neither a bomb in the transfer nor an archive that a server calls an encoding."""
    assert download(answer(Content_Encoding="gzip"))[0] == CONTENT


def test_a_disk_without_room_is_known_before_anything_arrives(download, tmp_path):
    huge = DownloadLimits(size=10**16)
    with pytest.raises(OSError, match="needed.*free.*file.xz.partial"):
        download(answer(b"x", Content_Length=10**15), limits=huge)
