"""Which of a model's outputs is the score, which the map, which a reconstruction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adhelpers._shared.text import and_list

SCORE, MAP, RECONSTRUCTION = "score", "map", "reconstruction"
# As exports of anomalib and others call them. Labels and masks made with somebody's threshold
# (``pred_label``, ``pred_mask``) are truth values or integers and are passed over by their type.
_NAMES = {
    SCORE: ("pred_score", "pred_scores", "score", "scores", "anomaly_score", "image_score"),
    MAP: ("anomaly_map", "anomaly_maps", "map", "maps", "heatmap", "score_map"),
    RECONSTRUCTION: ("reconstruction", "reconstructions", "reconstructed", "recon"),
}
_DECIDED = ("pred_label", "pred_labels", "pred_mask", "pred_masks")
_EXPLAINED = (
    "a score (one number an image), an anomaly map (height x width) or a reconstruction (an image "
    "like the input)"
)


class UnfitOutputs(ValueError):
    """No output, or more than one, can be what is looked for."""


@dataclass(frozen=True)
class Outputs:
    """The names of the outputs that are used; None for what a model does not give."""

    score: str | None = None
    map: str | None = None
    reconstruction: str | None = None

    @property
    def has_map(self) -> bool:
        """Whether a map follows from what is there."""
        return self.map is not None or self.reconstruction is not None

    @property
    def names(self) -> list[str]:
        """The names that are there."""
        return [name for name in (self.score, self.map, self.reconstruction) if name is not None]

    def needed(self, score: bool, maps: bool) -> "Outputs":
        """Those of them that a score, maps or both need."""
        if maps and score:
            return self
        if maps or self.score is None:
            return (
                Outputs(map=self.map) if self.map else Outputs(reconstruction=self.reconstruction)
            )
        return Outputs(score=self.score)

    def facts(self) -> list[str]:
        """Where score and map come from, in sentences.

        Examples
        --------
        >>> Outputs(map="heat").facts()
        ["The map is its output 'heat'; the score is the map's maximum"]
        """
        compared = (
            f"the smoothed difference between the image and its output {self.reconstruction!r}"
        )
        if self.map is not None:
            place = f"The map is its output {self.map!r}"
        else:
            place = f"The map is {compared}" if self.reconstruction else "It gives no map"
        if self.score is not None:
            return [f"{place}; the score is its output {self.score!r}"]
        return [f"{place}; the score is the map's maximum"]


def named_outputs(result: Any) -> dict[str, Any]:
    """What a function or network returned, by name, as it comes.

    A dict keeps its keys, a named tuple or an object with ``pred_score`` or ``anomaly_map`` its
    attributes' names, anything else is numbered.

    Examples
    --------
    >>> named_outputs((1, 2))
    {'output 0': 1, 'output 1': 2}
    """
    if isinstance(result, Mapping):
        return {str(name): value for name, value in result.items()}
    known = [name for names in _NAMES.values() for name in names]
    found = {
        name: getattr(result, name)
        for name in known
        if not isinstance(result, np.ndarray) and getattr(result, name, None) is not None
    }
    if found and not any(callable(value) for value in found.values()):
        return found
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return dict(zip(result._fields, result, strict=True))
    if isinstance(result, (tuple, list)):
        return {f"output {position}": value for position, value in enumerate(result)}
    return {"output": result}


def rows_of(array: NDArray[Any], count: int) -> NDArray[Any] | None:
    """An output with one row for each of ``count`` images; None where it has another number.

    Some exports drop the axis of the batch where there is one image.
    """
    if array.ndim and array.shape[0] == count:
        return array
    return array[None] if count == 1 else None


def kind_of(
    array: NDArray[Any], count: int, taken: tuple[int, ...], *, grey: str = MAP
) -> str | None:
    """What an output can be, by its shape: a score, a map, a reconstruction, or None.

    Parameters
    ----------
    array : ndarray
        For ``count`` images.
    count : int
    taken : tuple of int
        The shape of one image as the model takes it: (c, h, w) or (h, w, c).
    grey : {"map", "reconstruction"}
        What an output with one channel and the size of a grey image is: it could be both.

    Examples
    --------
    >>> kind_of(np.zeros((2, 1)), 2, (3, 8, 8)), kind_of(np.zeros((2, 1, 4, 4)), 2, (3, 8, 8))
    ('score', 'map')
    >>> kind_of(np.zeros((2, 3, 8, 8)), 2, (3, 8, 8)), kind_of(np.zeros((2, 10)), 2, (3, 8, 8))
    ('reconstruction', None)
    """
    rows = rows_of(array, count)
    if rows is None or rows.dtype.kind != "f":
        return None
    rest = rows.shape[1:]
    if rest == tuple(taken) and (1 not in (rest[0], rest[-1]) or grey == RECONSTRUCTION):
        return RECONSTRUCTION
    sides = [side for side in rest if side != 1]
    return {0: SCORE, 2: MAP}.get(len(sides)) if len(rest) <= 3 else None


def kinds_of(
    arrays: Mapping[str, NDArray[Any]], count: int, taken: tuple[int, ...], *, grey: str = MAP
) -> dict[str, str | None]:
    """What each output can be, see `kind_of`; one that is called a reconstruction is one."""
    return {
        name: kind_of(
            array,
            count,
            taken,
            grey=RECONSTRUCTION if name.lower() in _NAMES[RECONSTRUCTION] else grey,
        )
        for name, array in arrays.items()
    }


def find_outputs(
    kinds: Mapping[str, str | None], *, output: str | None = None, map_output: str | None = None
) -> Outputs:
    """Choose the outputs that are used.

    Parameters
    ----------
    kinds : dict of str to str or None
        What each output can be, see `kind_of`.
    output, map_output : str, optional
        Names that are asked for: ``output`` of the score, or of the only output that is used,
        ``map_output`` of the map.

    Returns
    -------
    Outputs

    Raises
    ------
    UnfitOutputs
        If a name does not exist or has another shape, no output fits, or several fit equally well.

    Examples
    --------
    >>> find_outputs({"a": "score", "b": "map", "c": None}).names
    ['a', 'b']
    """
    for name in (output, map_output):
        if name is not None and name not in kinds:
            raise UnfitOutputs(f"has no output {name!r}")
    if output is not None:
        return _asked(kinds, output, map_output)
    if map_output is not None:
        _require(kinds, map_output, (MAP,))
        return Outputs(score=_only(kinds, SCORE, "output"), map=map_output)
    found = Outputs(
        score=_only(kinds, SCORE, "output"),
        map=_only(kinds, MAP, "map_output"),
        reconstruction=_only(kinds, RECONSTRUCTION, "output"),
    )
    if not found.names:
        raise UnfitOutputs(f"has no output that is {_EXPLAINED}")
    return found


def _asked(kinds: Mapping[str, str | None], output: str, map_output: str | None) -> Outputs:
    _require(kinds, output, (SCORE, MAP, RECONSTRUCTION))
    kind = kinds[output]
    if map_output is None:
        return Outputs(**{str(kind): output})
    _require(kinds, map_output, (MAP,))
    _require(kinds, output, (SCORE,))
    return Outputs(score=output, map=map_output)


def _require(kinds: Mapping[str, str | None], name: str, wanted: tuple[str, ...]) -> None:
    if kinds[name] not in wanted:
        what = f"is a {kinds[name]}" if kinds[name] else "has another shape or type"
        needed = _EXPLAINED if len(wanted) > 1 else f"a {wanted[0]}"
        raise UnfitOutputs(f"gives in {name!r} what is not {needed}: it {what}")


def _only(kinds: Mapping[str, str | None], kind: str, parameter: str) -> str | None:
    """The one output of a kind; among several the one with a name that is known."""
    found = [name for name, one in kinds.items() if one == kind and name.lower() not in _DECIDED]
    known = [name for name in found if name.lower() in _NAMES[kind]]
    if len(found) > 1 and len(known) != 1:
        raise UnfitOutputs(
            f"has several outputs that could be the {kind} ({and_list(found)}): choose one with "
            f"{parameter}"
        )
    chosen = known if len(found) > 1 else found
    return chosen[0] if chosen else None


def as_scores(array: NDArray[Any], count: int) -> NDArray[Any]:
    """An output that is a score, one number an image: shape (n,)."""
    rows = rows_of(array, count)
    assert rows is not None
    return rows.reshape(count)


def as_maps(array: NDArray[Any], count: int) -> NDArray[Any]:
    """An output that is a map: shape (n, h, w)."""
    rows = rows_of(array, count)
    assert rows is not None
    return rows.reshape(count, *(side for side in rows.shape[1:] if side != 1))
