"""A stored detector as an ONNX file: what ``adhelpers export`` calls."""

from pathlib import Path

from adhelpers.detectors import Detector, Exported, export_onnx, load_detector


def export_detector(model: str | Path | Detector, path: str | Path) -> Exported:
    """Write a stored detector as an ONNX file; see `adhelpers.detectors.export_onnx`.

    Parameters
    ----------
    model : str, Path or Detector
        A folder ``models/<category>/<detector>/<hash>``, or a fitted detector.
    path : str or Path
        Ends in ``.onnx``; a file that is there is replaced.

    Returns
    -------
    Exported

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it holds no model.
    ValueError
        If the model cannot be loaded or exported.

    Examples
    --------
    >>> export_detector("models/screw/subspace/0", "screw.onnx")
    Traceback (most recent call last):
        ...
    FileNotFoundError: there is no folder models/screw/subspace/0; give the folder of a stored model
    """
    if not isinstance(model, Detector):
        if not Path(model).is_dir():
            raise FileNotFoundError(
                f"there is no folder {model}; give the folder of a stored model"
            )
        model = load_detector(model)
    return export_onnx(model, path)
