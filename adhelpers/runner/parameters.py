"""The parameters of a notebook: defaults, comments, and which values they accept.

A comment that names values is binding. It has the form ``[what it is: ]a (explanation), b or c[;
remark]``: explanations in parentheses and remarks after a semicolon are not read, and that part
between colons counts in which the default itself is named. An item that begins with an article
("the path of a file") describes values instead of naming one and leaves the list open. A list that
begins with "among" or "any of" is for a text that lists several of the values with commas between.
"""

import ast
import contextlib
import difflib
import io
import math
import re
import tokenize
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, TypeAlias

from adhelpers._shared.text import listed

# What a person gives for a parameter: a text from the command line; in a preset also a list of
# texts, or a mapping, which no parameter takes.
Given: TypeAlias = str | Sequence[str] | Mapping[str, str]

# Characters of a wrong value or name that an error shows.
_SHOWN = 60
# Whole numbers beyond 64 bits fit into no array.
_LARGEST = 2**63 - 1
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NOT_A_NAME = re.compile(r"(?:a|an|any|the)\s")
_SEVERAL = re.compile(r"\s*(?:among|any of)\s+")


class UsageError(ValueError):
    """A wrong name or value that was given by the person who starts a run; nothing has been run."""


@dataclass(frozen=True)
class Choices:
    """The values that the comment of a parameter names.

    Attributes
    ----------
    values : tuple
        Of the type of the default.
    is_open : bool
        Whether there are values that the comment only describes, so that others are accepted too.
    several : bool
        Whether the parameter is a text that lists any of the values with commas between.
    """

    values: tuple[Any, ...]
    is_open: bool = False
    several: bool = False

    def accept(self, value: Any) -> bool:
        """Whether the parameter takes this value."""
        if self.several:
            return all(name in self.values for name in listed(value))
        return self.is_open or value in self.values


def choices_in(comment: str, default: Any) -> Choices | None:
    """The values that a comment names, or None where it names none.

    Examples
    --------
    >>> choices_in("augmentation: none, horizontal (mirrored) or both; none is fast", "none").values
    ('none', 'horizontal', 'both')
    >>> choices_in("pixels: 32, 64 or 128", 64).values
    (32, 64, 128)
    >>> choices_in("hed, random, or the path of a file", "hed")
    Choices(values=('hed', 'random'), is_open=True, several=False)
    >>> choices_in("number of epochs", 40) is None
    True
    """
    if isinstance(default, bool) or not isinstance(default, (str, int, float)):
        return None
    text, count = comment, 1
    while count:
        text, count = re.subn(r"\([^()]*\)", "", text)
    for part in text.split(";")[0].split(":"):
        several = bool(_SEVERAL.match(part))
        items = _items(_SEVERAL.sub("", part), several)
        named = [_of_type(item, default) for item in items if not _NOT_A_NAME.match(item)]
        choices = Choices(tuple(named), len(named) < len(items), several)
        if len(items) > 1 and _names_default(choices, default):
            return choices
    return None


def _items(part: str, several: bool) -> list[str]:
    """What is named between commas and "or" (in a list of several also between "and")."""
    separators = r"\s*,\s*(?:or\s+|and\s+)?|\s+or\s+" + (r"|\s+and\s+" if several else "")
    items = (item.strip().removesuffix("as published") for item in re.split(separators, part))
    return [item.strip() for item in items if item.strip()]


def _of_type(item: str, default: Any) -> Any:
    """An item as a value of the default's type, or as the text that it is."""
    if not isinstance(default, str):
        with contextlib.suppress(ValueError, SyntaxError):
            return ast.literal_eval(item)
    return item


def _names_default(choices: Choices, default: Any) -> bool:
    """Whether the default is among the named values, and all of these are of its type."""
    if choices.several:
        return isinstance(default, str) and choices.accept(default)
    numbers = isinstance(default, str) or not any(isinstance(one, str) for one in choices.values)
    return numbers and default in choices.values


@dataclass(frozen=True)
class Parameter:
    """One assignment in the cell tagged ``parameters``: its name, default and comment."""

    name: str
    default: Any
    help: str

    @property
    def choices(self) -> Choices | None:
        """The values that the comment names; None where it names none."""
        return choices_in(self.help, self.default)

    def read(self, given: Given) -> Any:
        """What was given, as a value of the default's type; for a tuple a list.

        Texts are read as they stand: ``042`` is 42 for a whole number and stays ``042`` for a text.
        ``None`` as the default stands for a number that is found elsewhere.

        Raises
        ------
        UsageError
            If it is of another type, or not among the values that the comment names.

        Examples
        --------
        >>> Parameter("seed", 0, "").read("042"), Parameter("name", "", "").read("042")
        (42, '042')
        >>> Parameter("filters", (12, 24), "").read("[8, 16]")
        [8, 16]
        """
        try:
            value = _typed(self.default, given)
        except ValueError as error:
            raise UsageError(
                f"{self.name} takes {_wanted(self.default)}, got {shortened(given)}; the default "
                f"is {self.default!r}"
            ) from error
        choices = self.choices
        if choices is not None and not choices.accept(value):
            kind = "any of" if choices.several else "one of"
            named = [str(one) for one in choices.values]
            raise UsageError(
                f"{self.name} takes {kind} {', '.join(named)}, got {shortened(given)}"
                f"{nearest(str(value), named)}"
            )
        return value


def _typed(default: Any, given: Given) -> Any:
    """What was given as a value of the default's type, or a ValueError."""
    if isinstance(default, (tuple, list)):
        read = _KINDS[_element(default)][0]
        return [read(item) for item in _listed_items(given)]
    if not isinstance(given, str) or type(default) not in _KINDS:
        raise ValueError("no single value")
    return _KINDS[type(default)][0](given)


def _element(default: Sequence[Any]) -> type:
    """The type of a list's items; a list of whole numbers and others is one of numbers."""
    kinds = {type(item) for item in default}
    return kinds.pop() if len(kinds) == 1 and kinds <= set(_KINDS) else float


def _listed_items(given: Given) -> list[str]:
    """The items of a list: ``[1, 2]``, ``(1, 2)`` or ``1, 2``; only brackets hold no item."""
    if not isinstance(given, str):
        if isinstance(given, Mapping) or not all(isinstance(item, str) for item in given):
            raise ValueError("no list of single values")
        return list(given)
    text = given.strip()
    inner = text[1:-1].strip() if text[:1] + text[-1:] in ("[]", "()") else text
    if not inner and text:
        return []
    return inner.removesuffix(",").split(",")


def _whole(text: str) -> int:
    value = int(text) if text.isascii() else _LARGEST + 1
    if abs(value) > _LARGEST:
        raise ValueError("beyond 64 bits")
    return value


def _number(text: str) -> float:
    value = float(text) if text.isascii() else math.nan
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


def _flag(text: str) -> bool:
    if text.strip().lower() not in _FLAGS:
        raise ValueError("neither true nor false")
    return _FLAGS[text.strip().lower()]


def _text(text: str) -> str:
    # Neither can be in a notebook's file, or in a name that a person sees.
    if any(unicodedata.category(one) in ("Cc", "Cs") for one in text):
        raise ValueError("control characters")
    return text


def _number_or_none(text: str) -> float | None:
    if text.strip().lower() in ("none", "null", "~"):
        return None
    with contextlib.suppress(ValueError):
        return _whole(text)
    return _number(text)


# How the text for a default of each type is read, and what errors say that it takes.
_KINDS: dict[type, tuple[Callable[[str], Any], str]] = {
    int: (_whole, "a whole number"),
    float: (_number, "a number"),
    bool: (_flag, "true or false"),
    str: (_text, "a text of one line"),
    NoneType: (_number_or_none, "a number or None"),
}


def _wanted(default: Any) -> str:
    """What a parameter with this default takes, in words."""
    if isinstance(default, (tuple, list)):
        return f"a list, such as [1, 2], each {_KINDS[_element(default)][1]}"
    return _KINDS[type(default)][1] if type(default) in _KINDS else "nothing but its default"


def shortened(value: Any) -> str:
    """A value that was given as an error shows it.

    Examples
    --------
    >>> shortened("07"), len(shortened("9" * 5000))
    ("'07'", 61)
    """
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def nearest(name: str, names: Iterable[str]) -> str:
    """``"; did you mean …?"`` with the names most like ``name``, or an empty text.

    Examples
    --------
    >>> nearest("catgory", ["seed", "category"])
    '; did you mean category?'
    """
    close = difflib.get_close_matches(name, list(names), n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def parameters_of(source: str, path: Path) -> dict[str, Parameter]:
    """The parameters that a cell sets, by name.

    Raises
    ------
    ValueError
        If it holds anything but plain literals; the message names the notebook at ``path``.
    """
    try:
        comments = _comments(source)
        parameters = {}
        for node in ast.parse(source).body:
            if not isinstance(node, (ast.Assign, ast.AnnAssign)):
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            comment = " ".join(comments[line] for line in lines if line in comments)
            name, value = ast.unparse(target), ast.literal_eval(node.value or "")
            if not name.isidentifier():
                raise ValueError(f"{name} is not a name")
            parameters[name] = Parameter(name, value, comment)
    except (SyntaxError, ValueError, tokenize.TokenError) as error:
        raise ValueError(
            f"{path}: the cell tagged 'parameters' must hold plain literals only, name = value "
            f"({error})"
        ) from error
    return parameters


def _comments(source: str) -> dict[int, str]:
    """The comment of each line of Python source, by line number."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }
