"""Reads the YAML file of a preset: sections, parameter names, and the values as they are written.

Scalars stay texts, so that ``042`` and ``no`` mean what they say; what they become follows from the
parameter. Nothing of YAML is read that a preset does not need: no anchors, aliases or tags. The
file is taken event by event, so that a damaged or hostile one ends at the first thing that is
wrong.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import yaml

from .parameters import Given, UsageError, shortened

Sections: TypeAlias = dict[str, dict[str, Given]]

_LARGEST = 100_000
# Sections, parameters, and the items of a list.
_DEEPEST = 3


def read_sections(path: Path) -> Sections:
    """The parameters of each section of a preset's file, all values as texts.

    Parameters
    ----------
    path : Path
        Of a regular file.

    Returns
    -------
    dict of str to dict

    Raises
    ------
    UsageError
        If it is too large, no YAML, or not of this form; the message names the file and line.
    """
    sections = _document(path, "a preset")
    if sections == "":
        return {}
    if not isinstance(sections, dict) or not all(
        isinstance(part, dict) or part == "" for part in sections.values()
    ):
        raise UsageError(
            f"{path} must map a notebook's name (or 'all') to parameters and their values"
        )
    return {name: part or {} for name, part in sections.items()}


def read_lists(path: Path) -> dict[str, list[str]]:
    """The values of each parameter in the file of a grid, all as texts.

    Parameters
    ----------
    path : Path
        Of a regular file that maps names to lists of values, or to a single one. A value that is a
        list itself, such as ``[8, 16]``, becomes the text of it.

    Returns
    -------
    dict of str to list of str

    Raises
    ------
    UsageError
        As `read_sections`.
    """
    lists = _document(path, "a grid")
    if not isinstance(lists, dict):
        raise UsageError(f"{path} must map names of parameters to lists of their values")
    return {name: _items(path, name, values) for name, values in lists.items()}


def _items(path: Path, name: str, values: Any) -> list[str]:
    """The values that a grid has for one parameter, as texts."""
    items = [values] if isinstance(values, str) else values
    inner = [one for item in items for one in (item if isinstance(item, list) else [item])]
    if not isinstance(items, list) or not all(isinstance(one, str) for one in inner):
        raise UsageError(
            f"{path}: {shortened(name)} must have a list of values, such as [0, 1], all of them "
            "texts, numbers or lists of these"
        )
    return [one if isinstance(one, str) else f"[{', '.join(one)}]" for one in items]


def _document(path: Path, kind: str) -> Any:
    """What a file holds, as texts, lists and dicts; an empty text where that is nothing."""
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise UsageError(
            f"{path} has more than {_LARGEST:,} bytes: {kind} maps names to parameters and is small"
        )
    try:
        return _Reader(path, content.decode("utf-8-sig")).document()
    except UsageError:
        raise
    # Wrong escapes and version numbers come through the parser as other errors of value.
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


class _Reader:
    """Makes texts, lists and dicts of the events in a YAML file."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.BaseLoader)

    def document(self) -> Any:
        """What the only document holds; an empty text where there is none."""
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return ""
        value = self._value(next(self._events), ())
        next(self._events)
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            self._refuse(following, (), "a second document begins; there may be one only")
        return value

    def _value(self, event: yaml.Event, place: tuple[str, ...]) -> Any:
        assert isinstance(event, yaml.NodeEvent)
        # The event of an alias has its anchor too.
        if event.anchor is not None:
            self._refuse(event, place, "anchors (&) and aliases (*) are not read; repeat the value")
        assert isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent))
        if event.tag is not None:
            self._refuse(event, place, f"the tag {shortened(event.tag)} is not read; leave it out")
        if isinstance(event, yaml.ScalarEvent):
            return event.value
        if len(place) == _DEEPEST:
            self._refuse(event, place, "nested too deeply; a value is a text or a list of texts")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(place)
        return self._mapping(place)

    def _list(self, place: tuple[str, ...]) -> list[Any]:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*place, "")))
        return items

    def _mapping(self, place: tuple[str, ...]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if isinstance(event, yaml.CollectionStartEvent):
                self._refuse(event, place, "a name must be a text, not a list or a mapping")
            name = self._value(event, place)
            if name in values:
                self._refuse(event, (*place, name), "is set twice")
            values[name] = self._value(next(self._events), (*place, name))
        return values

    def _refuse(self, event: yaml.Event, place: tuple[str, ...], problem: str) -> NoReturn:
        names = "".join(f"{shortened(name)}: " for name in place if name)
        assert event.start_mark is not None
        raise UsageError(f"{self._path}, line {event.start_mark.line + 1}: {names}{problem}")
