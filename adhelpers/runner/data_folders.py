"""Finds the images that a notebook is to read, and refuses wrong ones before it starts."""

import unicodedata
from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adhelpers._shared.text import escaped

from .notebooks import NotebookFile, run_name
from .parameters import UsageError, nearest

# Kinds of data that a notebook with a parameter ``dataset`` reads from a folder of images. The
# others are embedded, rendered or downloaded: the root folder of the images is not for them.
_READ_FROM_FOLDER = ("category", "folder")
_EMBEDDED = ("digits", "insulators")
_OWN = ("folder", "idid", "idx", "csv")
# What lies in the folder of a notebook that takes images by class and by what they are for.
_PARTS = ("train", "review", "test")
_LISTED = 12


def check_folder(path: str | Path) -> None:
    """Refuse a root of images that is no folder."""
    if not Path(path).is_dir():
        raise UsageError(
            f"data: {path} is a file; give the folder of a category, or one that holds categories"
            if Path(path).exists()
            else f"data: there is no folder {path}"
        )


def reads_folder(notebook: NotebookFile, values: Mapping[str, Any]) -> bool:
    """Whether a notebook with these values reads images from a folder."""
    return "dataset" not in notebook.parameters or values["dataset"] in _READ_FROM_FOLDER


def reads_category(notebook: NotebookFile, values: Mapping[str, Any]) -> bool:
    """Whether the images of a notebook with these values are a category.

    One notebook calls this the data set ``category``, and ``folder`` is images by class there.
    """
    if "dataset" not in notebook.parameters:
        return "category" in notebook.parameters
    choices = notebook.parameters["dataset"].choices
    kinds = choices.values if choices is not None else ()
    return bool(values["dataset"] == ("category" if "category" in kinds else "folder"))


def locate_data(notebook: NotebookFile, layers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The ``data_root`` and ``category`` of a notebook that reads a category from a folder.

    ``data_root`` may be the category itself. Where it holds categories, the only one of them stands
    in for the notebook's default, but not for a category that somebody has named.

    Parameters
    ----------
    notebook : NotebookFile
    layers : sequence of dict
        Values by name: defaults, preset, folders, command line; later ones win.

    Returns
    -------
    dict of str to str
        Empty for a notebook that renders its images or has no such parameters. One that reads other
        images keeps its own ``category``, so that one may be named beside it for others.

    Raises
    ------
    UsageError
        If there is no such folder or category, or several categories and none is chosen.
    """
    if not {"category", "data_root"} <= notebook.parameters.keys():
        return {}
    values = dict(ChainMap(*map(dict, reversed(layers))))
    if values.get("dataset") in _OWN and not values["data_root"]:
        raise UsageError(
            f"{notebook.name}: the dataset {values['dataset']!r} is your own: give its place with "
            "-p data_root PATH"
        )
    if not reads_category(notebook, values):
        _check_other_data(notebook, values, is_typed="data_root" in layers[-1])
        return {"category": layers[0]["category"]} if _layer(layers, "category") else {}
    if not values["data_root"]:
        if _layer(layers, "category") or not values["category"]:
            _check_rendered(notebook, values)
        return {}
    # What the notebook itself says is relative to its folder; all else is absolute here.
    root = (notebook.path.parent / values["data_root"]).resolve()
    check_folder(root)
    level = _layer(layers, "category")
    named = unicodedata.normalize("NFC", layers[level]["category"]) if level else None
    if _is_meant(root, named):
        # A folder on the command line wins over the category of a preset.
        if named and named != _name(root) and level >= _layer(layers, "data_root"):
            raise UsageError(
                f"{notebook.name}: {root} is itself the category {_name(root)!r}, but the "
                f"parameter category is {named!r}; leave out one of the two"
            )
        return {"data_root": str(root.parent), "category": _name(root)}
    category = _category_within(notebook, root, named, values["category"])
    return {"data_root": str(root), "category": category}


def _name(folder: Path) -> str:
    """A folder's name in the form in which names are compared and shown."""
    return escaped(unicodedata.normalize("NFC", folder.name))


def _layer(layers: Sequence[Mapping[str, Any]], name: str) -> int:
    """Number of the last layer that sets a value; the defaults are 0."""
    return max(number for number, layer in enumerate(layers) if name in layer)


def _check_other_data(notebook: NotebookFile, values: Mapping[str, Any], is_typed: bool) -> None:
    """Refuse a ``data_root`` that cannot be what the parameter ``dataset`` says."""
    root, dataset = values["data_root"], values["dataset"]
    if not root:
        return
    if dataset in _EMBEDDED:
        if is_typed:
            raise UsageError(
                f"-p data_root: {notebook.name} reads no folder for the dataset {dataset!r}; set "
                "dataset too"
            )
        return
    path = notebook.path.parent / root
    missing = [part for part in _PARTS if not (path / part).is_dir()]
    wanted = "file" if dataset == "csv" else "folder"
    if not (path.is_file() if dataset == "csv" else path.is_dir()):
        problem = f"there is no {wanted} {root}"
    elif dataset in _READ_FROM_FOLDER and missing:
        problem = f"{root} has no folder {missing[0]}; it must hold {', '.join(_PARTS)}"
    else:
        return
    raise UsageError(f"{notebook.name}: data_root for the dataset {dataset!r}: {problem}")


def _check_rendered(notebook: NotebookFile, values: Mapping[str, Any]) -> None:
    """Refuse a category that cannot be rendered, where no folder of images is given."""
    from adhelpers.data import RENDERED_CATEGORIES

    category = values["category"]
    try:
        run_name(values)
    except ValueError as error:
        raise UsageError(f"{notebook.name}: {error}") from error
    if category not in RENDERED_CATEGORIES:
        raise UsageError(
            f"{notebook.name}: there are no rendered images of {category!r}, only of "
            f"{', '.join(RENDERED_CATEGORIES)}{nearest(category, RENDERED_CATEGORIES)}; --data "
            "takes your own"
        )


def _is_meant(root: Path, named: str | None) -> bool:
    """Whether the root is a category itself, and none within it has been named."""
    from adhelpers.data import categories_in, is_category

    return is_category(root) and named not in categories_in(root)


def _category_within(notebook: NotebookFile, root: Path, named: str | None, default: str) -> str:
    """The named category within the root, else the default, else the only one."""
    from adhelpers.data import categories_in, subfolders

    present, folders = categories_in(root), subfolders(root)
    wanted = default if named is None else named
    if wanted in folders:
        return wanted
    if not present:
        raise UsageError(
            f"{notebook.name}: {root} holds no category of images: neither train/good and test of "
            "one, nor a folder that has them"
        )
    if named is None and len(present) == 1:
        return present[0]
    shown = present[:_LISTED] + [f"{len(present) - _LISTED} more"] * (len(present) > _LISTED)
    raise UsageError(
        f"{notebook.name}: no category {wanted!r} in {root}, which holds {', '.join(shown)}; "
        f"choose with -p category NAME{nearest(wanted, present)}"
    )


def check_data(notebook: str, root: str, category: str) -> None:
    """Refuse a category whose folders or file names show that it cannot be loaded.

    Raises
    ------
    UsageError
        In one sentence, with the first problem.
    """
    from adhelpers.data import CategoryError, check_listing

    try:
        check_listing(root, category)
    except CategoryError as error:
        first, count = error.problems[0], len(error.problems)
        rest = f" and {count - 1} more problem{'' if count == 2 else 's'}" if count > 1 else ""
        raise UsageError(
            f"{notebook}: category {category!r} in {root}: {first}{rest}; see `python -m "
            f"adhelpers data check {Path(root) / category}`"
        ) from error
    except OSError as error:
        raise UsageError(f"{notebook}: {error}") from error
