"""Runs the notebook for a person's own images on a folder, whatever it holds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .data_folders import check_folder
from .parameters import UsageError
from .suite import run_notebooks

if TYPE_CHECKING:
    from .execution import Outcome

NOTEBOOK = "09_your_images"


def start(folder: str | Path, given: Sequence[tuple[str, str]] = (), **options: Any) -> "Outcome":
    """Run the notebook for one's own images.

    Parameters
    ----------
    folder : str or Path
        A category, a folder that holds one, or good images alone: a category without defective
        test images, or images directly in the folder.
    given : sequence of (str, str)
        Parameter names and their values as texts.
    **options
        ``results``, ``models``, ``name``, ``notebooks`` (where they are) and ``stream`` of
        `run_notebooks`.

    Returns
    -------
    Outcome

    Raises
    ------
    UsageError
        If the folder holds no images that can be used, or a parameter is wrong.
    """
    check_folder(folder)
    notebooks = options.pop("notebooks", None)
    data = _good_only(Path(folder), dict(given)) or folder
    return run_notebooks([NOTEBOOK], given=given, data=data, folder=notebooks, **options)[0]


def _good_only(folder: Path, given: Mapping[str, str]) -> Path | None:
    """The category that is made of a folder of good images alone; None where it is another one."""
    from adhelpers.data import CategoryError, good_only_root

    try:
        # What is no number is refused with all other parameters.
        reading = {
            name: int(given[name]) if given.get(name, "").isdigit() else None
            for name in ("bit_depth", "page")
        }
        root = good_only_root(folder, reading["bit_depth"] or None, reading["page"])
    except CategoryError as error:
        raise UsageError(f"{folder}: {error.problems[0]}") from error
    except OSError as error:
        raise UsageError(f"{folder}: {error}") from error
    return None if root is None else root / folder.resolve().name


def answer_lines(results: Path) -> list[str]:
    """The answer that a run has left, in lines to print; none where it has left no answer.

    Parameters
    ----------
    results : Path
        The folder of the run.

    Returns
    -------
    list of str
    """
    try:
        answer = json.loads((results / "summary.json").read_text(encoding="utf-8"))["answer"]
        looks = [f"{one['name']} ({one['verdict']})" for one in answer["look_first"]]
        lines = [f"{answer['answer']}. {answer['because']}", answer["figures"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [*lines, *answer.get("findings", [])[:2]] + (
        [f"Look first at: {'; '.join(looks)}."] if looks else []
    )
