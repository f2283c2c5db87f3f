"""Fetches a category of MVTec AD from its publisher."""

import bz2
import difflib
import gzip
import json
import lzma
import os
import sys
import tarfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import urlsplit

import pooch
import requests

from adhelpers._shared.files import replacing_folder, sha256, write_json
from adhelpers._shared.text import escaped

from .downloads import DownloadLimits, DownloadTooLarge, ResumingDownloader
from .layouts import TRAIN, missing_folder
from .reading import GOOD

LICENSE_NOTE = (
    "MVTec AD is (c) MVTec Software GmbH, licensed CC BY-NC-SA 4.0 "
    "(https://creativecommons.org/licenses/by-nc-sa/4.0/): for non-commercial use, to be shared "
    "under the same licence, with reference to Bergmann, Fauser, Sattlegger, Steger, "
    '"A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection", CVPR 2019'
)
DOWNLOAD_PAGE = "https://www.mvtec.com/company/research/datasets/mvtec-ad/downloads"
WHOLE_ARCHIVE = "mvtec_anomaly_detection"

_SHARES = "https://www.mydrive.ch/shares/"
# Links of the publisher's download page, which have moved before. The publisher prints no
# checksums: these SHA-256 are the ones that independent public projects recorded after downloading,
# so a match says that it is the archive that everybody uses. The last number is the size in MiB,
# what is beyond the point cut off.
_ARCHIVES = {
    "bottle": (
        "150452/132a93367fb17cdf968dfb5c4013f6e7/download/420937370-1629958698/bottle.tar.xz",
        "726512129cb3b1f47d4f6cd7c7fc9170db7fc209132249c788fec06029cb5dc3",
        148,
    ),
    "cable": (
        "150453/10f960e07fec2838b2cd512586633a32/download/420937413-1629958794/cable.tar.xz",
        "1e3d59b80a6a8da5adf32fb0cf311c7b964cde146d6920aef9ca66380999a9cd",
        481,
    ),
    "capsule": (
        "150454/e0ce6dd74eb150f46c0d98131b3703f2/download/420937454-1629958872/capsule.tar.xz",
        "f6a41cb11f1589d552888fe9c43a1adcbcae15b70073e19093322f836d00a2b6",
        385,
    ),
    "carpet": (
        "150455/eac7fbce84d93a5094e13f391170eca4/download/420937484-1629959013/carpet.tar.xz",
        "d9dd5064515a20bd75cf24d223c570579141abd72388beef892780b74dbaa85d",
        705,
    ),
    "grid": (
        "150456/bb0b2e3dc804ccb8b4485e01f8e4493b/download/420937487-1629959044/grid.tar.xz",
        "d94a9a651cbfaee22c94d06cf8fa8204a590c872362de0489eb34f1645328de8",
        153,
    ),
    "hazelnut": (
        "150457/51d49f65e84bdc100ff8035d7dd783ea/download/420937545-1629959162/hazelnut.tar.xz",
        "a7f4e7d65a60a235def7236a46fcb854d62e6c6917c16b1ec9cb4ff089d3b0da",
        588,
    ),
    "leather": (
        "150458/923030ce14e10a7d147e95d0f8885f6b/download/420937607-1629959262/leather.tar.xz",
        "704ffa48b1dc2fc44824aa50442d9febc399dd92a5d6fd8156f8aa0373d15f24",
        500,
    ),
    "metal_nut": (
        "150459/c68856a21dca589b0f8ff6d4ee0f18f4/download/420937637-1629959294/metal_nut.tar.xz",
        "86e3c8e163ceb19146ad3ddc408e85cc34ae02e0da430e07a73bac6bbb48532a",
        157,
    ),
    "pill": (
        "150460/d4f1c04da67034ccc8d8b5fa3e73f244/download/420938129-1629960351/pill.tar.xz",
        "ac6ce9ec4ec2a5d67c906d82147bd7431980cf00b78f25d63201a5f17e3a2038",
        262,
    ),
    "screw": (
        "150461/242f454cc6385e5693c4fd4b94567d1e/download/420938130-1629960389/screw.tar.xz",
        "0a27a365a21e472d19b9fb48cb8e4002b49fabe083bff7f4c16fa57d78154f10",
        186,
    ),
    "tile": (
        "150462/5479f0fdc97bc6fa16eab0cb0cf0109f/download/420938133-1629960456/tile.tar.xz",
        "392228153b96d0db9f179d3f7c2d63e131e907154883b57309fcbf798643173c",
        335,
    ),
    "toothbrush": (
        "150463/895a1a5fb84b958f07417784b060434b/download/420938134-1629960477/toothbrush.tar.xz",
        "fe72a34b4b0d074f84e844be7ef8c4f64f7f02f20e25f19c9e3b4a231c8bea77",
        104,
    ),
    "transistor": (
        "150464/99b8ea0332438d64fcc2475ee73f9c29/download/420938166-1629960554/transistor.tar.xz",
        "146b2166c35a1d0cf37ded091366ac01a50338b4ac704632f1239890eaca4449",
        384,
    ),
    "wood": (
        "150465/d5b4115b720cdb54d217e75636e6e374/download/420938383-1629960649/wood.tar.xz",
        "3757297ac2a266072eb4f25a97f805f5b37fd583492b20bd709f310736c1ea47",
        474,
    ),
    "zipper": (
        "150466/bd155b557520edaf692d9bfdb915c24a/download/420938385-1629960680/zipper.tar.xz",
        "7ab46e0e195da145db30052baea3d3a5d14c5f0e710137c968e0423f02cb942d",
        152,
    ),
    WHOLE_ARCHIVE: (
        "150996/b52ecdcbf521176e9db9c731f2304b27/download/420938113-1629960298/"
        "mvtec_anomaly_detection.tar.xz",
        "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
        5021,
    ),
}
_MEBIBYTE = 1 << 20
# PNG is compressed already, so that an archive is hardly smaller than what it holds.
_MOST_UNPACKED = 4
# What a tar file may have between two members, in bytes.
_MOST_HEADERS = 1 << 20
_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".xz": lzma.open,
    ".gz": gzip.open,
    ".bz2": bz2.open,
}
# Written into each folder that is fetched: which files are not the user's.
_MANIFEST = ".fetched.json"
# More files than this are not listed in a sentence.
_LISTED = 3


def fetch_category(
    category: str,
    folder: str | Path,
    accept_license: bool = False,
    url: str | None = None,
    known_hash: str | None = None,
    show_progress: bool = True,
    overwrite: bool = False,
) -> Path:
    """Download a category of MVTec AD and unpack it to ``folder/category``.

    An interrupted download resumes where it stopped; one that is larger than the archive or hardly
    moves is stopped. The archive's SHA-256 is checked before it is opened, and nothing but the
    category asked for is unpacked, at once or not at all. A category that is there already is not
    fetched again, and files that were not fetched are not replaced.

    Parameters
    ----------
    category : str
        One of the 15 categories, such as ``"screw"``.
    folder : str or Path
        Where the category's folder is put: the ``root`` of `load_category`.
    accept_license : bool
        True says that you accept CC BY-NC-SA 4.0 (non-commercial, share alike).
    url : str, optional
        Another address of the archive: of the category's own, or of one that holds all categories.
    known_hash : str, optional
        SHA-256 of the archive at ``url`` in hexadecimal. Known where the file at ``url`` is named
        like the publisher's.
    show_progress : bool
    overwrite : bool
        True fetches in any case and deletes what is at ``folder/category``.

    Returns
    -------
    Path
        ``folder/category``.

    Raises
    ------
    FileExistsError
        Where ``folder/category`` is incomplete and holds files that were not fetched, or is a file.
    PermissionError
        Where the licence is not accepted.
    ConnectionError
        Where the archive cannot be reached; says how to place the data by hand.
    ValueError
        Where the category is unknown, the SHA-256 differs, or the archive is too large or holds a
        member that does not belong there.

    References
    ----------
    Bergmann, Fauser, Sattlegger, Steger, "A Comprehensive Real-World Dataset for Unsupervised
    Anomaly Detection", CVPR 2019.

    Examples
    --------
    >>> fetch_category("screw", "data")
    Traceback (most recent call last):
    ...
    PermissionError: MVTec AD is (c) MVTec Software GmbH, licensed CC BY-NC-SA 4.0 ...
    """
    categories = sorted(set(_ARCHIVES) - {WHOLE_ARCHIVE})
    if category not in categories:
        near = difflib.get_close_matches(category, categories, n=3, cutoff=0.5) or categories
        raise ValueError(
            f"MVTec AD has no category {category!r}; did you mean {' or '.join(near)}?"
        )
    target = Path(folder) / category
    if missing_folder(target) is None and not overwrite:
        return target
    if not accept_license:
        raise PermissionError(
            f"{LICENSE_NOTE}. Accept it with accept_license=True (on the command line: "
            f"--accept-license) to download {category!r}"
        )
    if not overwrite:
        _refuse_foreign(target)
    url = url or _SHARES + _ARCHIVES[category][0]
    name = PurePosixPath(urlsplit(url).path).name
    checksum = _checksum(name) if known_hash is None else known_hash.removeprefix("sha256:")
    archive = _download(url, name, checksum, category, Path(folder), show_progress)
    if overwrite:
        _make_room(target)
    with replacing_folder(target) as temporary:
        _unpack(archive, category, temporary)
        _write_manifest(temporary, category, name, checksum)
        # A download is long enough to put something there.
        if not overwrite:
            _refuse_foreign(target)
    # The archive of all categories serves for the next one too.
    if name == f"{category}.tar.xz":
        archive.unlink()
        if not any(archive.parent.iterdir()):
            archive.parent.rmdir()
    return target


def _checksum(archive: str) -> str:
    """The recorded SHA-256 of the publisher's archive of this name."""
    recorded = _ARCHIVES.get(archive.removesuffix(".tar.xz"))
    if recorded is None:
        raise ValueError(
            f"known_hash: give the SHA-256 of {archive}, for no archive of this name is known"
        )
    return recorded[1]


def _download(
    url: str, name: str, checksum: str, category: str, folder: Path, show_progress: bool
) -> Path:
    """The archive in ``folder/.downloads``, with the right checksum."""
    kept_in = folder / ".downloads"
    limits = DownloadLimits(_most_bytes(name, checksum))
    downloader = ResumingDownloader(limits, f"Downloading {name} (MB)", show_progress)
    by_hand = (
        f"To place the data by hand: get {category}.tar.xz from {DOWNLOAD_PAGE} and unpack it with "
        f"`tar -xf {category}.tar.xz -C {folder}`, so that {folder / category / TRAIN / GOOD} "
        "exists. Running the same command again resumes the download"
    )
    try:
        return Path(
            pooch.retrieve(
                url, f"sha256:{checksum}", fname=name, path=kept_in, downloader=downloader
            )
        )
    except requests.RequestException as error:
        raise ConnectionError(f"cannot download {url} ({error}). {by_hand}") from error
    except DownloadTooLarge:
        raise
    except ValueError as error:
        if "hash" not in str(error):
            raise
        raise ValueError(
            f"the SHA-256 of {name} from {url} is not {checksum}: the download was damaged or the "
            f"file is another one; it was deleted. {by_hand}"
        ) from error


def _most_bytes(name: str, checksum: str) -> int:
    """The size of an archive that is known by its checksum; of any other, the largest known one."""
    for stem, (_, recorded, size) in _ARCHIVES.items():
        if name == f"{stem}.tar.xz" and checksum == recorded:
            return (size + 1) * _MEBIBYTE
    return (_ARCHIVES[WHOLE_ARCHIVE][2] + 1) * _MEBIBYTE


def _foreign(target: Path) -> list[str]:
    """The files at ``target`` that were not fetched, or were changed since."""
    if not target.is_dir():
        return [target.name] if target.is_symlink() or target.exists() else []
    fetched = _manifest_files(target / _MANIFEST)
    found = []
    for parent, folders, files in os.walk(target, onerror=_raised):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for path in (Path(parent) / name for name in (*files, *links)):
            name = path.relative_to(target).as_posix()
            if name == _MANIFEST and fetched:
                continue
            is_regular = path.is_file() and not path.is_symlink()
            if not is_regular or name not in fetched or fetched[name] != sha256(path):
                found.append(name)
    return sorted(found)


def _manifest_files(manifest: Path) -> dict[str, Any]:
    """The SHA-256 of each file that was fetched; nothing where there is no such manifest."""
    try:
        return dict(json.loads(manifest.read_text("utf-8"))["files"]) if manifest.is_file() else {}
    except (ValueError, KeyError, TypeError):
        return {}


def _raised(error: OSError) -> None:
    raise error


def _refuse_foreign(target: Path) -> None:
    """Nothing is replaced that was not fetched."""
    foreign = _foreign(target)
    if foreign:
        raise FileExistsError(
            f"{escaped(str(target))} holds {_some(foreign)} not fetched by adhelpers: choose "
            "another folder or move this away, or delete it with overwrite=True (on the command "
            "line: --overwrite)"
        )


def _make_room(target: Path) -> None:
    """Say what is deleted, and delete what is no folder."""
    foreign = _foreign(target)
    if foreign:
        words = f"{escaped(str(target))}: deleting {_some(foreign)} not fetched by adhelpers"
        print(words, file=sys.stderr)
    if not target.is_dir():
        target.unlink(missing_ok=True)


def _some(names: list[str]) -> str:
    """How many files there are, and the first names."""
    listed = ", ".join(map(escaped, names[:_LISTED])) + ", …" * (len(names) > _LISTED)
    return f"{len(names)} file{'s' * (len(names) > 1)} ({listed})"


def _write_manifest(folder: Path, category: str, archive: str, checksum: str) -> None:
    """Note which files were fetched, so that they are known from those of the user."""
    files = {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    content = {"category": category, "archive": archive, "sha256": checksum, "files": files}
    write_json(folder / _MANIFEST, content)


class _Bounded:
    """A file to read from, of which no more than ``allowance`` bytes are read."""

    def __init__(self, file: Any) -> None:
        self.allowance = _MOST_HEADERS
        self._file = file

    def read(self, size: int) -> bytes:
        content: bytes = self._file.read(min(size, self.allowance + 1))
        self.allowance -= len(content)
        if self.allowance < 0:
            raise tarfile.ReadError("more between two members than an archive of images has")
        return content


def _unpack(archive: Path, category: str, destination: Path) -> None:
    """Unpack the members of ``category/``; every member of the archive must be harmless."""
    found = False
    opener = _OPENERS.get(archive.suffix, partial(Path.open, mode="rb"))
    # Bytes that are still expected: in the archive, and in the category.
    rest = _MOST_UNPACKED * (_ARCHIVES[WHOLE_ARCHIVE][2] + 1) * _MEBIBYTE
    room = _MOST_UNPACKED * (_ARCHIVES[category][2] + 1) * _MEBIBYTE
    try:
        # Read as a stream: the archive of all categories is too large to be read twice.
        with (
            opener(archive) as unpacked,
            tarfile.open(fileobj=cast(Any, bounded := _Bounded(unpacked)), mode="r|") as tar,
        ):
            for member in tar:
                path = PurePosixPath(member.name)
                if not _is_harmless(member):
                    raise ValueError(
                        f"{archive.name} holds the member {member.name!r}, which does not belong "
                        "in a data set"
                    )
                chosen = path.parts[:1] == (category,) and len(path.parts) > 1
                rest, room = rest - member.size, room - member.size * chosen
                if min(rest, room) < 0 or member.size < 0:
                    raise ValueError(
                        f"{archive.name} holds more than {category!r} of MVTec AD can have, with "
                        f"{member.name!r} of {member.size / 1e6:.1f} MB"
                    )
                bounded.allowance = member.size + _MOST_HEADERS
                if chosen:
                    tar.extract(
                        member.replace(name="/".join(path.parts[1:])), destination, filter="data"
                    )
                    found = True
    except (tarfile.TarError, lzma.LZMAError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{archive.name} cannot be unpacked ({error})") from error
    if not found:
        raise ValueError(f"{archive.name} holds no folder {category!r}")


def _is_harmless(member: tarfile.TarInfo) -> bool:
    """Whether it is a file or folder that stays within the folder it is unpacked to."""
    path = PurePosixPath(member.name)
    inside = not path.is_absolute() and ".." not in path.parts and "\\" not in member.name
    return inside and (member.isfile() or member.isdir())
