"""A model's parameters are its constructor's arguments, as plain values and back from them."""

import inspect
import types
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """A constructor's argument as JSON knows it.

    A part becomes a dict of its fields, a tuple a list, a path its text.

    Raises
    ------
    TypeError
        If the value, or one inside it, is of a type that cannot be written as JSON.

    Examples
    --------
    >>> from adhelpers.training import Augmentation
    >>> plain(Augmentation(rotation=10))
    {'rotation': 10, 'shift': 0.0, 'brightness': 0.0, 'flip': 'none'}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"a parameter must be a plain value or a dataclass of such, not {type(value).__name__}"
    )


def argument_names(cls: type) -> list[str]:
    """Names of a constructor's arguments, in their order."""
    return list(inspect.signature(cls).parameters)


def arguments_from(cls: type, values: dict[str, Any]) -> dict[str, Any]:
    """A constructor's arguments from the plain values that `plain` made of them.

    A dict becomes the part that the constructor's type hint names for this argument, a list a tuple
    where the hint says so. No class is looked up by a name in ``values``.

    Parameters
    ----------
    cls : type
    values : dict
        Plain values by argument; those that are left out keep their defaults.

    Returns
    -------
    dict
        For ``cls(**arguments)``.

    Raises
    ------
    ValueError
        If the constructor has no such argument, or a part no such field.

    Examples
    --------
    >>> from adhelpers.detectors import Subspace
    >>> arguments_from(Subspace, {"n_components": 3, "seed": 1})
    {'n_components': 3, 'seed': 1}
    """
    unknown = set(values) - set(argument_names(cls))
    if unknown:
        raise ValueError(
            f"{cls.__name__} has no parameter {sorted(unknown)[0]!r}; "
            f"it has {', '.join(argument_names(cls))}"
        )
    hints = typing.get_type_hints(inspect.getattr_static(cls, "__init__"))
    return {name: _rebuilt(hints.get(name), value, name) for name, value in values.items()}


def _rebuilt(hint: Any, value: Any, name: str) -> Any:
    """A plain value as what its type hint says."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds = typing.get_args(hint) if union else (hint,)
    if isinstance(value, list) and any(tuple in (one, typing.get_origin(one)) for one in kinds):
        return tuple(value)
    parts = [one for one in kinds if isinstance(one, type) and is_dataclass(one)]
    if not isinstance(value, dict) or not parts:
        return value
    for part in parts:
        if {field.name for field in fields(part)} == set(value):
            return part(**arguments_from(part, value))
    wanted = " or ".join(", ".join(field.name for field in fields(part)) for part in parts)
    raise ValueError(f"{name} must have the fields {wanted}, not {', '.join(value)}")
