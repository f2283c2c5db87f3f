"""Which value each parameter of a notebook gets: default, preset, data folder, command line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .notebooks import NotebookFile, notebook_folder
from .parameters import UsageError, nearest

# Parameters that are paths. A kernel runs in the folder of its notebook, where a path relative to
# the caller's folder would lead elsewhere.
_PATHS = ("data_root", "results", "models", "model", "load_model", "load_config")
# Kinds of data that a notebook with a parameter ``dataset`` reads from a folder of categories. The
# others are embedded, rendered or downloaded: the root folder of the images is not for them.
_READ_FROM_FOLDER = ("category", "folder")


def read_preset(preset: str, folder: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """Read parameter values by notebook name, those under ``all`` for each notebook that has them.

    Parameters
    ----------
    preset : str
        Name of a file in ``<folder>/presets/`` without its suffix, or the path of a YAML file.
        ``quick``, the notebooks' own defaults, needs no file.
    folder : str or Path, optional
        By default the project's ``notebooks/``.

    Returns
    -------
    dict of str to dict

    Raises
    ------
    UsageError
        If there is no such preset, or it is not of this form.
    """
    presets = notebook_folder(folder) / "presets"
    path = Path(preset) if preset.endswith((".yaml", ".yml")) else presets / f"{preset}.yaml"
    if not path.is_file():
        if preset == "quick":
            return {}
        known = sorted({"quick", *(file.stem for file in presets.glob("*.yaml"))})
        raise UsageError(
            f"no preset {preset!r}; there are {', '.join(known)}, or give the path of a YAML file"
            f"{nearest(preset, known)}"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(
        isinstance(part or {}, dict) for part in content.values()
    ):
        raise UsageError(
            f"{path} must map a notebook's name (or 'all') to parameters and their values"
        )
    return {str(name): part or {} for name, part in content.items()}


def values_for(
    notebooks: Sequence[NotebookFile],
    preset: Mapping[str, dict[str, Any]] | None = None,
    given: Sequence[tuple[str, str]] = (),
    folders: Mapping[str, str | Path | None] | None = None,
    others: Sequence[NotebookFile] = (),
) -> list[dict[str, Any]]:
    """The values that each notebook gets: default, then preset, then ``folders``, then ``given``.

    Parameters
    ----------
    notebooks : sequence of NotebookFile
    preset : dict, optional
        As from `read_preset`.
    given : sequence of (str, str)
        Names and texts from the command line; each must be a parameter of each notebook.
    folders : dict of str to str or Path, optional
        ``data_root``, ``results`` and ``models``, for the notebooks that have parameters of these
        names. A notebook with a parameter ``dataset`` gets ``data_root`` only where that is
        ``category`` or ``folder``.
    others : sequence of NotebookFile
        Notebooks that do not run, but whose parameters a preset may hold under ``all``.

    Returns
    -------
    list of dict
        What is to be passed to each notebook.

    Raises
    ------
    UsageError
        For an unknown name, a value of another type than the default's, or one that is not among
        those that the parameter's comment names. Nothing has been run then.
    """
    preset = preset or {}
    everywhere = {name for notebook in (*notebooks, *others) for name in notebook.parameters}
    unknown = [name for name in preset.get("all", {}) if name not in everywhere]
    if unknown:
        raise UsageError(
            f"preset: no notebook has the parameter {unknown[0]!r} given under 'all'"
            f"{nearest(unknown[0], everywhere)}"
        )
    passed = []
    for notebook in notebooks:
        values = _preset_values(notebook, preset)
        for name, path in (folders or {}).items():
            if path and name in notebook.parameters:
                if name != "data_root" or _takes_data(notebook, values | dict(given)):
                    values[name] = str(Path(path).resolve())
        values |= _given_values(notebook, given)
        passed.append(values)
    return passed


def _takes_data(notebook: NotebookFile, values: Mapping[str, Any]) -> bool:
    """Whether a notebook reads its images from the root folder of all categories."""
    values = notebook.defaults() | dict(values)
    return "dataset" not in notebook.parameters or values["dataset"] in _READ_FROM_FOLDER


def _preset_values(notebook: NotebookFile, preset: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """What a preset says for one notebook; its own part wins over the part for all."""
    shared = {
        name: value for name, value in preset.get("all", {}).items() if name in notebook.parameters
    }
    return {
        name: _checked(notebook, name, value, "preset")
        for name, value in (shared | preset.get(notebook.name, {})).items()
    }


def _given_values(notebook: NotebookFile, given: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """What the command line says for one notebook, with paths relative to the caller's folder."""
    values = {}
    for name, text in given:
        value = _checked(notebook, name, text, f"-p {name}", is_text=True)
        values[name] = str(Path(value).resolve()) if name in _PATHS and value else value
    return values


def _checked(
    notebook: NotebookFile, name: str, value: Any, source: str, is_text: bool = False
) -> Any:
    """``value`` as the type of the parameter's default, or an error that lists the parameters."""
    listing = "".join(
        f"\n  {one.name} = {one.default!r}  {one.help}".rstrip()
        for one in notebook.parameters.values()
    )
    if name not in notebook.parameters:
        raise UsageError(
            f"{source}: {notebook.name} has no parameter {name!r}"
            f"{nearest(name, notebook.parameters)}\nIts parameters:{listing or ' none'}"
        )
    parameter = notebook.parameters[name]
    try:
        return parameter.checked(parameter.from_text(value) if is_text else value)
    except UsageError as error:
        raise UsageError(f"{source}: {notebook.name}: {error}\nIts parameters:{listing}") from error
