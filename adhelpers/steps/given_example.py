"""The example of notebook 08: a small detector in a file, and its maps in a folder."""

from pathlib import Path

import numpy as np

from adhelpers.data import Category
from adhelpers.detectors import ResidualScore, Subspace, export_onnx


def write_example(category: Category, folder: str | Path, *, seed: int = 0) -> tuple[Path, Path]:
    """Write a linear subspace of the good images as an ONNX file, and its maps of all images.

    Parameters
    ----------
    category : Category
    folder : str or Path
        Gets ``subspace.onnx``, ``maps/<type>/<name>.npy`` for the test images and
        ``maps/train/good/<name>.npy`` for the good validation images.
    seed : int

    Returns
    -------
    file, maps : Path
        Of the detector, and of the folder with the maps.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    train, validation, test = (
        part.images for part in (category.train, category.validation, category.test)
    )
    detector = Subspace(scoring=ResidualScore(smoothing=1.0), seed=seed).fit(train, validation)
    file, maps = folder / "subspace.onnx", folder / "maps"
    export_onnx(detector, file)
    for part in (category.validation, category.test):
        for name, one in zip(part.names, detector.anomaly_map(part.images), strict=True):
            # "test/crack/000.png" becomes "crack/000.npy"; training images keep their "train".
            path = maps / Path(str(name).removeprefix("test/")).with_suffix(".npy")
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, one.astype(np.float16))
    return file, maps
