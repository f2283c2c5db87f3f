"""A stored detector as an ONNX file: what ``adhelpers export`` calls."""

from pathlib import Path

from adhelpers.detectors import Detector, Exported, export_onnx, record_text

from .inspector import stored_detector


def export_detector(model: str | Path | Detector, path: str | Path) -> Exported:
    """Write a stored detector as an ONNX file; see `adhelpers.detectors.export_onnx`.

    How images are read, the threshold and what good images are like go into its metadata, where
    they are known: `predict` needs nothing else.

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
    if isinstance(model, Detector):
        return export_onnx(model, path)
    if not Path(model).is_dir():
        raise FileNotFoundError(f"there is no folder {model}; give the folder of a stored model")
    detector, record = stored_detector(Path(model))
    metadata = {} if record is None else {"record": record_text(record)}
    if record is not None and record.get("threshold"):
        # For readers that know nothing of the record.
        metadata["threshold"] = repr(record["threshold"]["value"])
    return export_onnx(detector, path, metadata=metadata)
