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
import re
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from adhelpers._shared.text import listed

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

    def from_text(self, text: str) -> Any:
        """A value from the command line; a text is taken as it stands ("no", "01").

        Raises
        ------
        UsageError
            If it is no YAML value.
        """
        if isinstance(self.default, str):
            return text
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"{text!r} is not a YAML value") from error

    def checked(self, value: Any) -> Any:
        """``value`` as the type of the default.

        Raises
        ------
        UsageError
            If it is of another type, or not among the values that the comment names.
        """
        value = self._of_right_type(value)
        choices = self.choices
        if choices is not None and not choices.accept(value):
            kind = "any of" if choices.several else "one of"
            named = [str(one) for one in choices.values]
            raise UsageError(
                f"{self.name} takes {kind} {', '.join(named)}, got {value!r}"
                f"{nearest(str(value), named)}"
            )
        return value

    def _of_right_type(self, value: Any) -> Any:
        default = self.default
        if default is None or type(value) is type(default):
            return value
        if isinstance(default, tuple) and isinstance(value, list):
            return value
        if isinstance(default, float) and not isinstance(value, bool):
            # YAML takes 1e-3 for a text, because it has no point.
            with contextlib.suppress(TypeError, ValueError):
                return float(value)
        raise UsageError(
            f"{self.name} takes {type(default).__name__}, got {value!r}; the default is {default!r}"
        )


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
