"""Downloads that resume, and that end: limits of size and time for servers that know none."""

import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pooch
import requests
import urllib3

from adhelpers._shared.files import check_space
from adhelpers._shared.progress import progress

_ATTEMPTS = 5
# A cut loses the chunk under way, so it is small.
_CHUNK = 1 << 14


class DownloadTooLarge(ValueError):
    """A server sends more than the file that was asked for has."""


@dataclass(frozen=True)
class DownloadLimits:
    """What a download may need.

    Attributes
    ----------
    size : int
        Bytes of the file.
    connect, answer : float
        Seconds until there is a connection, and then an answer with all its headers.
    silence : float
        Seconds without any data.
    slowest, window : float
        Bytes a second, as a mean over so many seconds.
    """

    size: int
    connect: float = 10
    answer: float = 60
    silence: float = 60
    slowest: float = 10_000
    window: float = 60


class ResumingDownloader:
    """A pooch downloader that keeps what has arrived and asks the server for the rest.

    pooch's own can neither resume nor stop a download that is too large or too slow.

    Parameters
    ----------
    limits : DownloadLimits
    description : str
    show_progress : bool
    """

    def __init__(self, limits: DownloadLimits, description: str, show_progress: bool) -> None:
        self._limits, self._description = limits, description
        self._show_progress = show_progress

    def __call__(self, url: str, output_file: str, _caller: pooch.Pooch | None = None) -> None:
        """Download ``url`` to ``output_file``, as pooch asks for it."""
        # The temporary file that pooch gives disappears with an error; what has arrived must not.
        partial = Path(output_file).parent / f"{PurePosixPath(urlsplit(url).path).name}.partial"
        for attempt in range(1, _ATTEMPTS + 1):
            before = partial.stat().st_size if partial.exists() else 0
            try:
                self._receive(url, partial, before)
                break
            except DownloadTooLarge:
                partial.unlink(missing_ok=True)
                raise
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ):
                # A long download survives several cuts, but a server that sends nothing is asked
                # once.
                arrived = partial.stat().st_size if partial.exists() else 0
                if attempt == _ATTEMPTS or arrived <= before:
                    raise
        partial.replace(output_file)

    def _receive(self, url: str, partial: Path, start: int) -> None:
        """Append what the server has from byte ``start`` on."""
        with _answer(url, start, self._limits) as response:
            if start and response.status_code == requests.codes.requested_range_not_satisfiable:
                # "bytes */<size>": either everything has arrived already, or it is another file and
                # must not be continued.
                if response.headers.get("Content-Range", "").strip() == f"bytes */{start}":
                    return
                return self._receive_anew(url, partial)
            response.raise_for_status()
            length = _number(response.headers.get("Content-Length"))
            if response.status_code != requests.codes.partial_content:
                start = 0
            elif start and not _continues(response, start, length):
                return self._receive_anew(url, partial)
            total = None if length is None else start + length
            self._check_size(url, total or 0)
            check_space(partial, length or 0)
            with partial.open("ab" if start else "wb") as file:
                for chunk in self._shown(self._chunks(response), start, total):
                    start += len(chunk)
                    self._check_size(url, start)
                    file.write(chunk)

    def _receive_anew(self, url: str, partial: Path) -> None:
        partial.unlink()
        self._receive(url, partial, 0)

    def _check_size(self, url: str, size: int) -> None:
        if size > self._limits.size:
            raise DownloadTooLarge(
                f"{url} sends more than the {self._limits.size / 1e6:.1f} MB that the archive may "
                "have: it is another file, and was not kept"
            )

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        """What arrives, as soon as it does, and as the server sends it."""
        with _Watch(response, self._limits) as watch, _errors_of_requests():
            while chunk := response.raw.read1(_CHUNK, decode_content=False):
                watch.received += len(chunk)
                yield chunk
        # The end of a body without a length looks the same.
        watch.check()

    def _shown(self, chunks: Iterator[bytes], start: int, total: int | None) -> Iterator[bytes]:
        """The chunks, with a progress bar."""
        received, shown = start, 0
        megabytes = progress(
            description=self._description,
            total=(total or 0) // 10**6 or None,
            enabled=self._show_progress,
        )
        with megabytes as bar:
            for chunk in chunks:
                yield chunk
                received += len(chunk)
                bar.update(received // 10**6 - shown)
                shown = received // 10**6


class _Watch:
    """Ends a response that sends too little, from a thread: any read may wait for the next byte."""

    def __init__(self, response: requests.Response, limits: DownloadLimits) -> None:
        self.received = 0
        self._raw, self._limits, self._too_slow = response.raw, limits, False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        before = 0
        while not self._done.wait(self._limits.window):
            if self.received - before < self._limits.slowest * self._limits.window:
                self._too_slow = True
                # It may have ended just now.
                with contextlib.suppress(OSError, ValueError, RuntimeError):
                    self._raw.shutdown()
                return
            before = self.received

    def check(self) -> None:
        """Raise an error where the response was ended."""
        if self._too_slow:
            raise requests.Timeout(
                f"less than {self._limits.slowest / 1e3:g} kB a second arrived over "
                f"{self._limits.window:g} s"
            )

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._done.set()
        self._thread.join()
        if kind is not None and issubclass(kind, requests.RequestException):
            self.check()


def _answer(url: str, start: int, limits: DownloadLimits) -> requests.Response:
    """The server's answer; headers that come byte by byte have a time limit too."""
    # Nothing is unpacked on the way: the checksum is that of the file, and so are the ranges.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    answers: queue.SimpleQueue[requests.Response | BaseException] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(
                requests.get(
                    url,
                    headers=headers,
                    stream=True,
                    timeout=(limits.connect, limits.silence),
                    hooks={"response": _without_body},
                )
            )
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=limits.connect + limits.answer)
    except queue.Empty:
        raise requests.Timeout(f"no answer within {limits.answer:g} s") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _without_body(response: requests.Response, **_: object) -> None:
    """Close a redirection, of which requests would read the whole body."""
    if response.is_redirect:
        response.raw.close()


def _number(text: str | None) -> int | None:
    """A length as the header has it; None for anything else."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() else None


def _continues(response: requests.Response, start: int, length: int | None) -> bool:
    """Whether a part begins at ``start`` and goes to the end of the file, as its headers say."""
    span, _, size = response.headers.get("Content-Range", "").partition("/")
    total = _number(size)
    if not span.startswith(f"bytes {start}-") or size != "*" and total is None:
        return False
    return total is None or length is None or start + length == total


@contextlib.contextmanager
def _errors_of_requests() -> Iterator[None]:
    """The errors of urllib3, which reads the body, as those of requests."""
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(str(error)) from error
