"""What every model and every detector can do, and how it is stored."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

from adhelpers._shared.arrays import Images, Maps, Scores
from adhelpers._shared.files import replacing_folder

from .manifest import StoredFiles, loading, read_manifest, write_manifest
from .parameters import argument_names, arguments_from, plain


class Model(ABC):
    """A model that is fitted, stored in a folder, and rebuilt from it.

    Its parameters are its constructor's arguments, as in scikit-learn: the constructor keeps each
    argument as an attribute of the same name, with its type hint; things that belong together are
    one argument, a frozen dataclass (a part, such as `TrainingPlan`). What the constructor makes of
    ``None`` is kept, so that a stored model says all that it was built with. `load` rebuilds the
    model from code and takes only its numbers from files.

    Attributes
    ----------
    name : str
        The folder name under ``models/<data>/``.
    title : str
        What it is called in tables and progress bars; empty is the same as ``name``.
    scoring_parameters : tuple of str
        Constructor arguments that training does not depend on; `load` takes others for them.
    parameters : dict
        The constructor's arguments as plain JSON values, a part as a dict of its fields.
    image_shape : tuple of int or None
        The (h, w, c) of the images it was fitted on.
    folder : Path or None
        Where it is stored.
    """

    name: str = "model"
    title: str = ""
    scoring_parameters: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.image_shape: tuple[int, ...] | None = None
        self.folder: Path | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values."""
        return {name: self._plain(name, getattr(self, name)) for name in argument_names(type(self))}

    def _plain(self, name: str, value: Any) -> Any:
        """The argument ``name`` as plain values, as it is written to a file.

        A subclass says it for an argument that is neither plain nor a part.
        """
        return plain(value)

    def scoring_arguments(self) -> dict[str, Any]:
        """The constructor's arguments that training does not depend on, as `load` takes them."""
        return {name: getattr(self, name) for name in self.scoring_parameters}

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any], **changed: Any) -> Self:
        """A model that is not fitted yet, of the ``parameters`` of another one.

        Parameters
        ----------
        parameters : dict
            Plain values, see `parameters`.
        **changed
            Other arguments for the constructor in place of some of them.
        """
        return cls(**arguments_from(cls, parameters) | changed)

    @abstractmethod
    def _write(self, folder: Path) -> dict[str, Any]:
        """Write the learned numbers into ``folder``; return extra plain values for the manifest."""

    @abstractmethod
    def _read(self, files: StoredFiles, manifest: dict[str, Any]) -> None:
        """Take the learned numbers from ``files``, whose checksums hold."""

    def _require_fitted(self) -> None:
        if self.image_shape is None:
            raise RuntimeError(
                f"This {type(self).__name__} is not fitted yet: call its fit or load(folder)"
            )

    @abstractmethod
    def fit_on(self, data: Any, **options: Any) -> Self:
        """Fit on the data that `fit_or_load` was given; ``options`` are for the model's ``fit``."""

    def save(self, folder: str | Path) -> None:
        """Write the model into ``folder``, at once or not at all; one that is there is replaced.

        A manifest beside its files has the parameters and each file's SHA-256.
        """
        self._require_fitted()
        with replacing_folder(folder) as temporary:
            write_manifest(temporary, self, **self._write(temporary))
        self.folder = Path(folder)

    def sent_as(self) -> tuple[Callable[..., Self], tuple[Any, ...]]:
        """How a worker process comes to this model: it loads it (see `_shared.engine.spread`).

        Raises
        ------
        TypeError
            If it is not stored.
        """
        if self.folder is None:
            raise TypeError(f"this {type(self).__name__} is not stored, so it cannot be sent")
        load = partial(type(self).load, **self.scoring_arguments())
        return load, (str(self.folder.resolve()),)

    @classmethod
    def load(cls, folder: str | Path, **scoring: Any) -> Self:
        """Rebuild a stored model: the architecture from code, the numbers from checked files.

        Parameters
        ----------
        folder : str or Path
            A folder written by `save`.
        **scoring
            Other constructor arguments for some of ``scoring_parameters``; what is not given is as
            it was stored.

        Raises
        ------
        FileNotFoundError
            If the manifest or a file it names is missing.
        ValueError
            If the folder holds another kind of model or one that another version of adhelpers
            stored, ``scoring`` names something else, or whatever is wrong with the files: the
            SHA-256 of one or of the manifest's content is another, the manifest names a file
            outside of the folder or not one that is read, the numbers do not fit the architecture
            or are NaN. The message has the folder and what to do.
        OSError
            If a file cannot be read.
        """
        manifest = read_manifest(folder)
        if manifest["detector"] != cls.__name__:
            raise ValueError(
                f"{folder} holds a {manifest['detector']}, not a {cls.__name__}: load it with "
                f"{manifest['detector']}.load"
            )
        unknown = [name for name in scoring if name not in cls.scoring_parameters]
        if unknown:
            raise ValueError(
                f"{unknown[0]} cannot be changed in a trained {cls.__name__}; "
                f"what can is {', '.join(cls.scoring_parameters) or 'nothing'}"
            )
        folder = Path(folder)
        with loading(folder):
            model = cls.from_parameters(manifest["parameters"])
        if scoring:
            model = cls.from_parameters(manifest["parameters"], **scoring)
        model.image_shape = tuple(manifest["image_shape"])
        with loading(folder, list(scoring)):
            model._read(StoredFiles(folder, frozenset(manifest["files"])), manifest)
        model.folder = folder
        return model


class Detector(Model):
    """A model of good images: it scores images, shows where they differ, and says what is normal.

    It is fitted on good images only. The score that is thresholded is the one that is explained and
    reported: there is only one.

    Attributes
    ----------
    counterpart_name : str
        What the `counterpart` is, written above its picture.
    """

    name = "detector"
    counterpart_name: str = "reconstruction"

    @abstractmethod
    def fit(
        self,
        train: Images,
        validation: Images,
        *,
        checkpoint: str | Path | None = None,
        show_progress: bool = True,
    ) -> Self:
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

    def unfitted_copy(self, count: int | None = None) -> Self | None:
        """A copy that may be fitted again on fewer images within seconds, as it was chosen.

        What the detector has chosen on good images, such as a number of components, is an argument
        of the copy.

        Parameters
        ----------
        count : int, optional
            Number of images that the copy will be fitted on, where an argument depends on it.

        Returns
        -------
        Detector or None
            None where fitting is the training of a network.
        """
        return None

    def fit_on(self, data: Any, **options: Any) -> Self:
        """Fit on ``data.train`` and ``data.validation``: arrays, or objects with ``images``."""
        train, validation = (getattr(one, "images", one) for one in (data.train, data.validation))
        return self.fit(train, validation, **options)

    @abstractmethod
    def counterpart(self, images: Images) -> Images:
        """What a normal version of each image looks like: float32 (n, h, w, c) in [0, 1]."""

    @abstractmethod
    def anomaly_map(self, images: Images) -> Maps:
        """Where the score comes from: float32 (n, h, w), higher is more anomalous."""

    @abstractmethod
    def score(self, images: Images) -> Scores:
        """One number an image: float32 (n,), higher is more anomalous."""
