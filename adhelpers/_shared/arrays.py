"""Names for the arrays and callables that rooms exchange; docstrings give the shapes."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Values in [0, 1], shape (n, h, w, c).
Images: TypeAlias = NDArray[np.float32]
# Higher is more anomalous or more relevant, shape (n, h, w).
Maps: TypeAlias = NDArray[np.float32]
# True inside of a defect, shape (n, h, w).
Masks: TypeAlias = NDArray[np.bool_]
# Higher is more anomalous, shape (n,).
Scores: TypeAlias = NDArray[np.float32]
# 0 good, 1 anomalous, shape (n,).
Labels: TypeAlias = NDArray[np.int_]
# Shape (n,).
Flags: TypeAlias = NDArray[np.bool_]
# File names, types of defects and the like, shape (n,).
Names: TypeAlias = NDArray[np.str_]
# Any numbers; what they are stands in the docstring.
Floats: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.integer[Any]]
# A detector as explainers and audits see it: images (n, h, w, c) to one number for each, (n,).
ScoreFunction: TypeAlias = Callable[[Images], ArrayLike]
