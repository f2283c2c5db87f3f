"""What every detector can do, how it is stored, and how it is found again."""

import json
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from adhelpers._shared.files import replacing_folder, sha256, write_json

MANIFEST = "manifest.json"


def check_images(images, shape=None, name="images"):
    """Return ``images`` as float32 after checking that they are what every detector expects.

    Parameters
    ----------
    images : array_like, shape (n, h, w, c)
        Values in [0, 1]; c is 1 or 3.
    shape : tuple of int, optional
        The (h, w, c) the detector was built for.
    name : str
        What the images are called in an error.

    Returns
    -------
    ndarray of float32, shape (n, h, w, c)

    Raises
    ------
    ValueError
        If there are no images, the number of axes or channels is wrong, the shape is another, or
        values are not finite numbers in [0, 1].

    Examples
    --------
    >>> check_images(np.zeros((2, 8, 8, 1))).dtype
    dtype('float32')
    """
    images = np.asarray(images, dtype=np.float32)
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"{name} must have the shape (n, h, w, c) with 1 or 3 channels, not {images.shape}."
        )
    if len(images) == 0:
        raise ValueError(f"{name} holds no image; at least one is needed.")
    if shape is not None and images.shape[1:] != tuple(shape):
        color = "grayscale" if shape[2] == 1 else "rgb"
        raise ValueError(
            f"{name} have the shape {images.shape[1:]}, but this detector was fitted on {tuple(shape)}: load them with the "
            f"image size {shape[0]} x {shape[1]} and color {color}, or train another detector."
        )
    # One pass each; a comparison with NaN is False, so it is caught as well.
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"{name} must hold finite values in [0, 1]; found {images.min()} to {images.max()}."
        )
    return images


class Detector(ABC):
    """A detector is fitted on good images only; it scores images, shows where, and says what would be normal.

    The score that is thresholded is the score that is explained and reported: there is only one. A
    subclass names its constructor's arguments in ``parameters``, so that a stored detector can be
    rebuilt in code and only its numbers are loaded.

    Attributes
    ----------
    name : str
        The folder name under ``models/<category>/``.
    parameters : dict
        The constructor's arguments, plain JSON values.
    image_shape : tuple of int or None
        The (h, w, c) of the images it was fitted on.
    folder : Path or None
        Where it is stored.
    scoring_parameters : tuple of str
        Those of ``parameters`` that training does not depend on; they can be changed in `load`.
    counterpart_name : str
        What the `counterpart` is, written above its picture.
    """

    name = "detector"
    counterpart_name = "reconstruction"
    scoring_parameters = ()

    def __init__(self, **parameters):
        self.parameters = parameters
        self.image_shape = None
        self.folder = None

    @abstractmethod
    def fit(self, train, validation, *, checkpoint=None, show_progress=True):
        """Learn from good images.

        Parameters
        ----------
        train, validation : ndarray of float32, shape (n, h, w, c)
            Good images in [0, 1]; validation images are held out of training.
        checkpoint : str or Path, optional
            A file for the state of an interrupted training; one that is there is continued.
        show_progress : bool

        Returns
        -------
        self
        """

    @abstractmethod
    def counterpart(self, images):
        """What a normal version of each image looks like to the detector: float32 (n, h, w, c) in [0, 1]."""

    @abstractmethod
    def anomaly_map(self, images):
        """Where the score comes from: float32 (n, h, w), higher is more anomalous."""

    @abstractmethod
    def score(self, images):
        """One number an image: float32 (n,), higher is more anomalous."""

    @abstractmethod
    def _write(self, folder):
        """Write the learned numbers into ``folder``; return extra plain values for the manifest."""

    @abstractmethod
    def _read(self, folder, manifest):
        """Take the learned numbers from ``folder``, whose checksums hold."""

    def _require_fitted(self):
        if self.image_shape is None:
            raise RuntimeError(
                f"This {type(self).__name__} is not fitted yet: call fit(train, validation) or load(folder)."
            )

    def save(self, folder):
        """Write the detector into ``folder``, at once or not at all, with a manifest of parameters and SHA-256 checksums.

        Parameters
        ----------
        folder : str or Path
            Replaced if it is there.
        """
        self._require_fitted()
        with replacing_folder(folder) as temporary:
            write_manifest(temporary, self, **self._write(temporary))
        self.folder = Path(folder)

    @classmethod
    def load(cls, folder, **scoring):
        """Rebuild a stored detector: the architecture from code, the numbers from checked files.

        Parameters
        ----------
        folder : str or Path
            A folder written by `save`.
        **scoring
            Other values for some of ``scoring_parameters``; what is not given is as it was stored.

        Returns
        -------
        Detector

        Raises
        ------
        FileNotFoundError
            If the manifest or a file it names is missing.
        ValueError
            If the folder holds another kind of detector, ``scoring`` names something else, a file's
            SHA-256 is not the manifest's, or the weights do not fit the architecture.
        """
        manifest = read_manifest(folder)
        if manifest["detector"] != cls.__name__:
            raise ValueError(
                f"{folder} holds a {manifest['detector']}, not a {cls.__name__}: load it with "
                f"{manifest['detector']}.load."
            )
        unknown = [name for name in scoring if name not in cls.scoring_parameters]
        if unknown:
            raise ValueError(
                f"{unknown[0]} cannot be changed in a trained {cls.__name__}; "
                f"what can is {', '.join(cls.scoring_parameters) or 'nothing'}."
            )
        detector = cls(**manifest["parameters"] | scoring)
        detector.image_shape = tuple(manifest["image_shape"])
        detector._read(Path(folder), manifest)
        detector.folder = Path(folder)
        return detector


def write_manifest(folder, model, **extra):
    """Write the manifest of a model whose files are all in the folder: what it is, its parameters, and each file's SHA-256.

    Parameters
    ----------
    folder : Path
    model : object
        Its class's name, its ``parameters`` and its ``image_shape`` are written.
    **extra
        More plain values.
    """
    files = {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    write_json(
        folder / MANIFEST,
        {
            "detector": type(model).__name__,
            "parameters": model.parameters,
            "image_shape": list(model.image_shape),
            "files": files,
            **extra,
        },
    )


def load_weights(network, path, name="network"):
    """Take a network's weights from a file.

    Parameters
    ----------
    network : keras.Model
    path : Path
        Ends in ``.weights.h5``.
    name : str
        What the network is called in an error.

    Raises
    ------
    ValueError
        If the file belongs to another architecture.
    """
    try:
        network.load_weights(path)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(
            f"{path} does not fit the {name} that the manifest describes: it belongs to another architecture."
        ) from error


def read_manifest(folder):
    """The manifest of a stored detector, after every file's SHA-256 has been compared with it.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError, ValueError
        As `Detector.load` says.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no {MANIFEST}: it is not a folder written by Detector.save."
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        expected = {
            key: manifest[key] for key in ("detector", "parameters", "image_shape", "files")
        }
    except (json.JSONDecodeError, KeyError) as error:
        raise ValueError(
            f"{path} is not a manifest written by Detector.save ({error!r})."
        ) from error
    for name, checksum in expected["files"].items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing, though {MANIFEST} names it.")
        if sha256(folder / name) != checksum:
            raise ValueError(
                f"The SHA-256 of {folder / name} is not the one in {MANIFEST}: the file was changed or damaged. "
                f"Remove {folder} and train again."
            )
    return manifest
