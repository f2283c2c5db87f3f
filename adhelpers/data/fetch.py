"""Fetches a category of MVTec AD from its publisher."""

import difflib
import tarfile
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pooch
import requests

from adhelpers._shared.files import replacing_folder
from adhelpers._shared.progress import progress

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
# so a match says that it is the archive that everybody uses.
_ARCHIVES = {
    "bottle": (
        "150452/132a93367fb17cdf968dfb5c4013f6e7/download/420937370-1629958698/bottle.tar.xz",
        "726512129cb3b1f47d4f6cd7c7fc9170db7fc209132249c788fec06029cb5dc3",
    ),
    "cable": (
        "150453/10f960e07fec2838b2cd512586633a32/download/420937413-1629958794/cable.tar.xz",
        "1e3d59b80a6a8da5adf32fb0cf311c7b964cde146d6920aef9ca66380999a9cd",
    ),
    "capsule": (
        "150454/e0ce6dd74eb150f46c0d98131b3703f2/download/420937454-1629958872/capsule.tar.xz",
        "f6a41cb11f1589d552888fe9c43a1adcbcae15b70073e19093322f836d00a2b6",
    ),
    "carpet": (
        "150455/eac7fbce84d93a5094e13f391170eca4/download/420937484-1629959013/carpet.tar.xz",
        "d9dd5064515a20bd75cf24d223c570579141abd72388beef892780b74dbaa85d",
    ),
    "grid": (
        "150456/bb0b2e3dc804ccb8b4485e01f8e4493b/download/420937487-1629959044/grid.tar.xz",
        "d94a9a651cbfaee22c94d06cf8fa8204a590c872362de0489eb34f1645328de8",
    ),
    "hazelnut": (
        "150457/51d49f65e84bdc100ff8035d7dd783ea/download/420937545-1629959162/hazelnut.tar.xz",
        "a7f4e7d65a60a235def7236a46fcb854d62e6c6917c16b1ec9cb4ff089d3b0da",
    ),
    "leather": (
        "150458/923030ce14e10a7d147e95d0f8885f6b/download/420937607-1629959262/leather.tar.xz",
        "704ffa48b1dc2fc44824aa50442d9febc399dd92a5d6fd8156f8aa0373d15f24",
    ),
    "metal_nut": (
        "150459/c68856a21dca589b0f8ff6d4ee0f18f4/download/420937637-1629959294/metal_nut.tar.xz",
        "86e3c8e163ceb19146ad3ddc408e85cc34ae02e0da430e07a73bac6bbb48532a",
    ),
    "pill": (
        "150460/d4f1c04da67034ccc8d8b5fa3e73f244/download/420938129-1629960351/pill.tar.xz",
        "ac6ce9ec4ec2a5d67c906d82147bd7431980cf00b78f25d63201a5f17e3a2038",
    ),
    "screw": (
        "150461/242f454cc6385e5693c4fd4b94567d1e/download/420938130-1629960389/screw.tar.xz",
        "0a27a365a21e472d19b9fb48cb8e4002b49fabe083bff7f4c16fa57d78154f10",
    ),
    "tile": (
        "150462/5479f0fdc97bc6fa16eab0cb0cf0109f/download/420938133-1629960456/tile.tar.xz",
        "392228153b96d0db9f179d3f7c2d63e131e907154883b57309fcbf798643173c",
    ),
    "toothbrush": (
        "150463/895a1a5fb84b958f07417784b060434b/download/420938134-1629960477/toothbrush.tar.xz",
        "fe72a34b4b0d074f84e844be7ef8c4f64f7f02f20e25f19c9e3b4a231c8bea77",
    ),
    "transistor": (
        "150464/99b8ea0332438d64fcc2475ee73f9c29/download/420938166-1629960554/transistor.tar.xz",
        "146b2166c35a1d0cf37ded091366ac01a50338b4ac704632f1239890eaca4449",
    ),
    "wood": (
        "150465/d5b4115b720cdb54d217e75636e6e374/download/420938383-1629960649/wood.tar.xz",
        "3757297ac2a266072eb4f25a97f805f5b37fd583492b20bd709f310736c1ea47",
    ),
    "zipper": (
        "150466/bd155b557520edaf692d9bfdb915c24a/download/420938385-1629960680/zipper.tar.xz",
        "7ab46e0e195da145db30052baea3d3a5d14c5f0e710137c968e0423f02cb942d",
    ),
    WHOLE_ARCHIVE: (
        "150996/b52ecdcbf521176e9db9c731f2304b27/download/420938113-1629960298/"
        "mvtec_anomaly_detection.tar.xz",
        "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
    ),
}
_ATTEMPTS = 5
# A cut loses the chunk under way, so it is small.
_CHUNK = 1 << 14
_SECONDS_TO_CONNECT, _SECONDS_WITHOUT_DATA = 10, 60


class _ResumingDownloader:
    """A pooch downloader that keeps what has arrived and asks the server for the rest."""

    def __init__(self, description: str, show_progress: bool) -> None:
        self._description, self._show_progress = description, show_progress

    def __call__(self, url: str, output_file: str, _caller: pooch.Pooch) -> None:
        # The temporary file that pooch gives disappears with an error; what has arrived must not.
        partial = Path(output_file).parent / f"{PurePosixPath(urlsplit(url).path).name}.partial"
        for attempt in range(1, _ATTEMPTS + 1):
            before = partial.stat().st_size if partial.exists() else 0
            try:
                self._receive(url, partial, before)
                break
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
        headers = {"Range": f"bytes={start}-"} if start else {}
        timeout = (_SECONDS_TO_CONNECT, _SECONDS_WITHOUT_DATA)
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                # "bytes */<size>": either everything has arrived already, or it is another file and
                # must not be continued.
                if response.headers.get("Content-Range", "").endswith(f"/{start}"):
                    return
                partial.unlink()
                return self._receive(url, partial, 0)
            response.raise_for_status()
            if response.status_code != requests.codes.partial_content:
                start = 0
            total = start + int(response.headers.get("Content-Length", 0))
            megabytes = progress(
                description=self._description,
                total=total // 10**6 or None,
                enabled=self._show_progress,
            )
            with partial.open("ab" if start else "wb") as file, megabytes as bar:
                received, shown = start, 0
                for chunk in response.iter_content(_CHUNK):
                    file.write(chunk)
                    received += len(chunk)
                    bar.update(received // 10**6 - shown)
                    shown = received // 10**6


def fetch_category(
    category: str,
    folder: str | Path,
    accept_license: bool = False,
    url: str | None = None,
    known_hash: str | None = None,
    show_progress: bool = True,
) -> Path:
    """Download a category of MVTec AD and unpack it to ``folder/category``.

    An interrupted download resumes where it stopped. The archive's SHA-256 is checked before it is
    opened, and nothing but the category asked for is unpacked, at once or not at all. A category
    that is there already is not fetched again.

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

    Returns
    -------
    Path
        ``folder/category``.

    Raises
    ------
    PermissionError
        Where the licence is not accepted.
    ConnectionError
        Where the archive cannot be reached; says how to place the data by hand.
    ValueError
        Where the category is unknown, the SHA-256 differs, or the archive holds a member that does
        not belong there.

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
    if missing_folder(target) is None:
        return target
    if not accept_license:
        raise PermissionError(
            f"{LICENSE_NOTE}. Accept it with accept_license=True (on the command line: "
            f"--accept-license) to download {category!r}"
        )
    url = url or _SHARES + _ARCHIVES[category][0]
    name = PurePosixPath(urlsplit(url).path).name
    checksum = _checksum(name) if known_hash is None else known_hash.removeprefix("sha256:")
    archive = _download(url, name, checksum, category, Path(folder), show_progress)
    with replacing_folder(target) as temporary:
        _unpack(archive, category, temporary)
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
    downloader = _ResumingDownloader(f"Downloading {name} (MB)", show_progress)
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
    except ValueError as error:
        if "hash" not in str(error):
            raise
        raise ValueError(
            f"the SHA-256 of {name} from {url} is not {checksum}: the download was damaged or the "
            f"file is another one; it was deleted. {by_hand}"
        ) from error


def _unpack(archive: Path, category: str, destination: Path) -> None:
    """Unpack the members of ``category/``; every member of the archive must be harmless."""
    found = False
    try:
        # Read as a stream: the archive of all categories is too large to be read twice.
        with tarfile.open(archive, "r|*") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if not _is_harmless(member):
                    raise ValueError(
                        f"{archive.name} holds the member {member.name!r}, which does not belong "
                        "in a data set"
                    )
                if path.parts[:1] == (category,) and len(path.parts) > 1:
                    tar.extract(
                        member.replace(name="/".join(path.parts[1:])), destination, filter="data"
                    )
                    found = True
    except (tarfile.TarError, LZMAError, EOFError) as error:
        raise ValueError(f"{archive.name} cannot be unpacked ({error})") from error
    if not found:
        raise ValueError(f"{archive.name} holds no folder {category!r}")


def _is_harmless(member: tarfile.TarInfo) -> bool:
    """Whether it is a file or folder that stays within the folder it is unpacked to."""
    path = PurePosixPath(member.name)
    inside = not path.is_absolute() and ".." not in path.parts and "\\" not in member.name
    return inside and (member.isfile() or member.isdir())
