"""Plain functions as a detector, and objects with methods of these names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from adhelpers._shared.arrays import Images

from .forward import ForwardDetector, Wanted
from .outputs import Outputs, named_outputs
from .preprocessing import Preprocessing

_SCORE, _MAP = "score", "anomaly_map"


class FunctionDetector(ForwardDetector):
    """One function that returns scores, maps or both: which, its output's shape says.

    Parameters
    ----------
    function : callable
        Takes images (n, h, w, c) in [0, 1], or what ``preprocessing`` makes of them.
    title : str
    preprocessing : Preprocessing
    wanted : Wanted
    examples : ndarray of float32, shape (n, h, w, c), optional
        Images to try it out with.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        title: str,
        preprocessing: Preprocessing,
        wanted: Wanted,
        examples: Images | None = None,
    ) -> None:
        self._function = function
        super().__init__(title, [preprocessing], wanted, examples=examples)

    def _forward(self, values: NDArray[Any], names: Sequence[str] | None) -> Mapping[str, Any]:
        return named_outputs(self._function(values))


class PairDetector(ForwardDetector):
    """A function for scores and one for maps, of which one may be missing.

    Parameters
    ----------
    score, anomaly_map : callable or None
    title, preprocessing, batch_size, examples
        As in `wrap_functions`.
    """

    def __init__(
        self,
        score: Callable[[Any], Any] | None,
        anomaly_map: Callable[[Any], Any] | None,
        title: str,
        preprocessing: Preprocessing,
        batch_size: int = 16,
        examples: Images | None = None,
    ) -> None:
        self._functions = {
            name: one for name, one in ((_SCORE, score), (_MAP, anomaly_map)) if one is not None
        }
        if not self._functions:
            raise ValueError(f"{title} needs a function score, anomaly_map or both")
        for name, one in self._functions.items():
            if not callable(one):
                raise ValueError(f"{name} must be a function, not a {type(one).__name__}")
        wanted = Wanted(
            _SCORE if score is not None else None,
            _MAP if anomaly_map is not None else None,
            batch_size=batch_size,
        )
        super().__init__(title, [preprocessing], wanted, examples=examples)

    def _find_outputs(self, outputs: Mapping[str, NDArray[Any]], tried: Images) -> Outputs:
        """As they are called; a function for scores must not return maps."""
        found = super()._find_outputs(outputs, tried)
        if _SCORE in self._functions and found.score is None:
            raise self._refusal("must return one number for each image from its function score")
        return found

    def _forward(self, values: NDArray[Any], names: Sequence[str] | None) -> Mapping[str, Any]:
        return {name: self._functions[name](values) for name in names or self._functions}
