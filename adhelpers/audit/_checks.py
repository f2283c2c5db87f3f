"""What the audit asks of its input beyond what every metric asks."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def checked_column(
    values: ArrayLike, length: int, name: str, what: str = "value", unit_range: bool = False
) -> NDArray[np.float64]:
    """One number for each image, NaN where nothing is known, shape (length,).

    ``what`` says in errors what is counted; with ``unit_range`` numbers lie in [0, 1].
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (length,):
        raise ValueError(
            f"{name} must have one {what} for each of the {length} images; got shape {values.shape}"
        )
    outside = np.flatnonzero(np.isinf(values) | (unit_range & ((values < 0) | (values > 1))))
    if outside.size:
        wanted = "lie in [0, 1]" if unit_range else "be finite"
        raise ValueError(
            f"{name} must {wanted} or be NaN; got {values[outside[0]]:g} at index {outside[0]}"
        )
    return values


def checked_classes(
    name: str, values: ArrayLike, length: int | None = None, least: int = 0
) -> NDArray[np.int_]:
    """One class for each image, as whole numbers from ``least``."""
    values = np.asarray(values)
    if values.ndim != 1 or not len(values) or (length is not None and len(values) != length):
        wanted = "each image" if length is None else f"each of the {length} images"
        raise ValueError(f"{name} must hold one class for {wanted}; got shape {values.shape}")
    if not np.issubdtype(values.dtype, np.integer) or values.min() < least:
        raise ValueError(f"{name} must hold whole numbers from {least}, the places of the classes")
    return values
