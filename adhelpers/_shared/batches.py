"""A TensorFlow function for arrays, compiled once and called block by block."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from .large_arrays import allocated


class Batched:
    """A function of tensors that takes and returns arrays and looks at ``size`` samples at a time.

    It is compiled at its first call, once for all numbers of samples; a call with samples of
    another shape or type compiles it again for these. (``predict`` of Keras costs tens of
    milliseconds a call.) Python's ``for`` and ``if`` over tensors are not translated, which would
    be most of the time that compiling takes: loops are `tf.while_loop`.

    Parameters
    ----------
    function : callable
        Of one or more tensors whose first axis counts the samples; returns such a tensor or a tuple
        of them. What it does with a sample must not depend on the other samples.
    size : int
        Largest number of samples in one pass.

    Examples
    --------
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> distance = Batched(lambda a, b: tf.reduce_sum(tf.abs(a - b), axis=1), size=2)
    >>> distance(np.ones((3, 4), np.float32), np.zeros((3, 4), np.float32)).tolist()
    [4.0, 4.0, 4.0]
    """

    def __init__(self, function: Callable[..., Any], size: int) -> None:
        self.size = size
        self._function = function
        self._compiled: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def __call__(self, *arrays: NDArray[Any], size: int | None = None) -> Any:
        """The function's value for all samples: an ndarray, or a tuple of them as it returns.

        ``size`` takes the place of the usual one for this call.
        """
        import tensorflow as tf

        compiled, size = self._compiled_for(arrays), size or self.size
        count, results, several = len(arrays[0]), list[NDArray[Any]](), False
        for start in range(0, count, size):
            found = compiled(*(tf.constant(array[start : start + size]) for array in arrays))
            several = isinstance(found, tuple)
            parts = [one.numpy() for one in (found if several else (found,))]
            if len(parts[0]) == count:
                results = parts
                break
            if not results:
                results = [allocated((count, *one.shape[1:]), one.dtype) for one in parts]
            for result, part in zip(results, parts, strict=True):
                result[start : start + size] = part
        return tuple(results) if several else results[0]

    def _compiled_for(self, arrays: tuple[NDArray[Any], ...]) -> Callable[..., Any]:
        import tensorflow as tf

        key = tuple((array.shape[1:], array.dtype) for array in arrays)
        if key not in self._compiled:
            self._compiled[key] = tf.function(
                self._function,
                input_signature=[tf.TensorSpec((None, *shape), dtype) for shape, dtype in key],
                autograph=False,
            )
        return self._compiled[key]
