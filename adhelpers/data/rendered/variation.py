"""Natural variation, such as exposure and noise, spread evenly over the images of a category."""

import numpy as np
from numpy.typing import NDArray

# Multiples of these, modulo one, are spread evenly in each dimension (their continued fractions are
# periodic).
_STEPS = np.sqrt([2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0, 23.0])


def evenly(start: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """The point after ``step`` steps of a low-discrepancy sequence from ``start``, in [0, 1).

    Even a small set of images then shows no difference in brightness, noise and the like between
    its parts that chance alone would make. ``start`` has shape (d,), with at most nine dimensions.

    Examples
    --------
    >>> evenly(np.zeros(2), 3).round(2).tolist()
    [0.24, 0.2]
    """
    return (start + step * _STEPS[: len(start)]) % 1
