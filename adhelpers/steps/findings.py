"""What a run found: sentences computed from its figures, shown as a list."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Protocol


class HasFindings(Protocol):
    """A result that says in sentences what it means."""

    def findings(self) -> list[str]:
        """The sentences."""


def sentences(*results: HasFindings | Sequence[str]) -> list[str]:
    """The findings of several results in order; a list of sentences is taken as it is.

    Examples
    --------
    >>> sentences(["One.", "Two."], ["Three."])
    ['One.', 'Two.', 'Three.']
    """
    found: list[str] = []
    for result in results:
        found += result.findings() if hasattr(result, "findings") else result
    return found


def leading_findings(results: Sequence[HasFindings], count: int = 5) -> list[str]:
    """The first finding of each result in order, then their second ones, at most ``count``."""
    turns = zip_longest(*(one.findings() for one in results))
    return [sentence for turn in turns for sentence in turn if sentence][:count]


def as_markdown(*results: HasFindings | Sequence[str]) -> Any:
    """The findings of results as a Markdown list, shown as such by a notebook."""
    from IPython.display import Markdown

    return Markdown("\n".join(f"- {one}" for one in sentences(*results)))
