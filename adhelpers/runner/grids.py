"""The grid of a sweep: values of some parameters, every combination of them, and its name."""

import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from .notebooks import LONGEST_NAME
from .parameters import UsageError, shortened
from .preset_files import read_lists

# A parameter's name and its value as a text.
Pair: TypeAlias = tuple[str, str]
Grid: TypeAlias = Mapping[str, Sequence[str]]

_SUFFIXES = (".yaml", ".yml")
# Of the hash in a name that would be too long.
_DIGITS = 8
# More runs than this are a mistake in a grid, such as a list where a single value was meant.
_MOST = 10_000


def read_grid(texts: Sequence[str]) -> dict[str, list[str]]:
    """The grid that a command line gives.

    Parameters
    ----------
    texts : sequence of str
        ``NAME=VALUE,VALUE`` or paths of YAML files that map names to lists of values. A comma
        within brackets belongs to a value.

    Returns
    -------
    dict of str to list of str
        In the order in which the parameters were given; the last one changes fastest.

    Raises
    ------
    UsageError
        For another form, a parameter that is given twice, one without values, or more than 10,000
        combinations.

    Examples
    --------
    >>> read_grid(["category=screw,hazelnut", "filters=[8,16],[12,24]"])
    {'category': ['screw', 'hazelnut'], 'filters': ['[8,16]', '[12,24]']}
    """
    grid: dict[str, list[str]] = {}
    for text in texts:
        for name, values in _axes(text):
            if name in grid:
                raise UsageError(f"sweep: {shortened(name)} is given twice")
            if not values or not all(value.strip() for value in values):
                raise UsageError(
                    f"sweep: {shortened(name)} lacks a value; give {name[:60]}=VALUE,VALUE"
                )
            repeated = next((one for one in values if values.count(one) > 1), None)
            if repeated is not None:
                raise UsageError(f"sweep: {name}: {shortened(repeated)} is given twice")
            grid[name] = values
    count = 1
    for values in grid.values():
        count *= len(values)
    if count > _MOST:
        raise UsageError(f"sweep: {count:,} combinations; at most {_MOST:,} are run in one sweep")
    return grid


def _axes(text: str) -> Iterator[tuple[str, list[str]]]:
    """Names and values of one argument: a file, or one parameter."""
    if "=" in text:
        name, _, values = text.partition("=")
        # Commas that are not followed by a closing bracket without an opening one before it.
        yield name.strip(), re.split(r",(?![^\[(]*[\])])", values)
    elif text.endswith(_SUFFIXES):
        if not Path(text).is_file():
            raise UsageError(f"sweep: there is no file {text}")
        yield from read_lists(Path(text)).items()
    else:
        raise UsageError(
            f"sweep: {shortened(text)} is neither NAME=VALUE,VALUE nor a YAML file; notebooks are "
            "named before --sweep"
        )


def combinations(grid: Grid) -> list[list[Pair]]:
    """Every combination of the values in a grid; the only one of an empty grid holds nothing.

    Examples
    --------
    >>> combinations({"category": ["screw"], "seed": ["0", "1"]})
    [[('category', 'screw'), ('seed', '0')], [('category', 'screw'), ('seed', '1')]]
    """
    axes = [[(name, value) for value in values] for name, values in grid.items()]
    return [list(pairs) for pairs in itertools.product(*axes)]


def combination_name(
    combination: Sequence[Pair],
    given: Sequence[Pair] = (),
    preset: str = "quick",
    name: str | None = None,
) -> str:
    """What the runs of a combination are called: all that tells them from others.

    The category is in the name of each run's folder already. What no folder's name can hold becomes
    a hyphen; then, and where the name would be too long, it ends in a hash.

    Parameters
    ----------
    combination, given : sequence of (str, str)
        Of the grid, and the same for all of its runs.
    preset : str
        A name or a path.
    name : str, optional
        What the person who runs it calls all of it.

    Returns
    -------
    str

    Examples
    --------
    >>> combination_name([("category", "screw"), ("seed", "1")], [("epochs", "3")])
    'epochs-3_seed-1'
    >>> combination_name([("category", "screw")], preset="full", name="first")
    'first_full'
    >>> combination_name([("category", "screw")])
    'sweep'
    """
    parts = [] if name is None else [name]
    parts += [] if preset == "quick" else [Path(preset).stem]
    pairs = [pair for pair in (*given, *combination) if pair[0] != "category"]
    parts += [f"{key}-{value}" for key, value in pairs]
    exact = "_".join(parts) or "sweep"
    plain = re.sub(r"[^\w.-]+", "-", exact, flags=re.ASCII).strip("-.")
    if plain == exact and len(plain) <= LONGEST_NAME:
        return plain
    number = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_DIGITS]
    return f"{plain[: LONGEST_NAME - _DIGITS - 1].rstrip('-.')}-{number}".lstrip("-.")
