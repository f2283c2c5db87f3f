"""Which value each parameter of a notebook gets: default, preset, data folder, command line."""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adhelpers._shared.text import escaped

from .data_folders import check_data, check_folder, locate_data, reads_category, reads_folder
from .given_detector import check_given_detector
from .notebooks import NotebookFile, fitting_names, notebook_folder
from .parameters import Given, Parameter, UsageError, nearest, shortened
from .preset_files import Sections, read_sections

# Parameters that are paths. A kernel runs in the folder of its notebook, where a path relative to
# the caller's folder, or to that of a preset, would lead elsewhere.
_PATHS = (
    "data_root", "models", "model", "load_model", "load_config", "maps", "scores", "onnx",
    "import_from",
)  # fmt: skip
# Of these, what a run writes into or what is checked with the category.
_NOT_LOADED = ("models", "data_root")
_ALL = "all"


@dataclass(frozen=True)
class Preset:
    """Parameter values by section: the name of a notebook, its beginning, or ``all``.

    Attributes
    ----------
    source : str
        What errors call it.
    folder : Path
        Where its relative paths begin.
    sections : dict of str to dict
        Parameters and their values as texts.
    """

    source: str = "preset"
    folder: Path = Path()
    sections: Sections = field(default_factory=dict)


def read_preset(preset: str, folder: str | Path | None = None) -> Preset:
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
    Preset

    Raises
    ------
    UsageError
        If there is no such preset, or it is not of this form.
    """
    presets = notebook_folder(folder) / "presets"
    path = Path(preset) if preset.endswith((".yaml", ".yml")) else presets / f"{preset}.yaml"
    if not path.is_file():
        if preset == "quick":
            return Preset()
        known = sorted({"quick", *(file.stem for file in presets.glob("*.yaml"))})
        raise UsageError(
            f"no preset {shortened(preset)}; there are {', '.join(known)}, or give the path of a "
            f"YAML file{nearest(preset, known)}"
        )
    return Preset(f"preset {preset}", path.resolve().parent, read_sections(path))


def values_for(
    notebooks: Sequence[NotebookFile],
    preset: Preset | None = None,
    given: Sequence[tuple[str, str]] = (),
    folders: Mapping[str, str | Path | None] | None = None,
    others: Sequence[NotebookFile] = (),
) -> list[dict[str, Any]]:
    """The values that each notebook gets: default, then preset, then ``folders``, then ``given``.

    Parameters
    ----------
    notebooks : sequence of NotebookFile
    preset : Preset, optional
    given : sequence of (str, str)
        Names and texts from the command line; each must be a parameter of each notebook.
    folders : dict of str to str or Path, optional
        ``data_root``, ``results`` and ``models``, for the notebooks that have parameters of these
        names. A notebook with a parameter ``dataset`` gets ``data_root`` only where that is
        ``category`` or ``folder``. ``data_root`` may be a category, which then is the one that is
        read, or hold categories.
    others : sequence of NotebookFile
        Notebooks that do not run, but may have a section of the preset or a parameter under
        ``all``.

    Returns
    -------
    list of dict
        What is to be passed to each notebook.

    Raises
    ------
    UsageError
        For an unknown name, a value of another type than the default's, one that is not among
        those that the parameter's comment names, a path that leads nowhere, or images that cannot
        be loaded. Nothing has been run then.
    """
    preset, folders = preset or Preset(), folders or {}
    data = folders.get("data_root")
    if data:
        check_folder(data)
    sections = _by_notebook(preset, [*notebooks, *others])
    passed, categories = [], dict[tuple[str, str], str]()
    unread = {"data"} if data else set()
    unread |= {f"-p {name}" for name, _ in given if name == "category"}
    for notebook in notebooks:
        layers = _layers(notebook, sections, preset, folders, given)
        located = locate_data(notebook, layers)
        passed.append(dict(ChainMap(located, *layers[:0:-1])))
        _check_encoding(notebook, passed[-1])
        check_given_detector(notebook, notebook.defaults() | passed[-1])
        if "data_root" in located:
            categories.setdefault((located["data_root"], located["category"]), notebook.name)
        if "data_root" in layers[2]:
            unread.discard("data")
        if reads_category(notebook, notebook.defaults() | passed[-1]):
            unread.discard("-p category")
    for option in sorted(unread):
        raise UsageError(
            f"{option}: no notebook that runs reads a folder of images; where one has the "
            "parameter dataset, that says what it reads"
        )
    for (root, category), name in categories.items():
        check_data(name, root, category)
    return passed


def _layers(
    notebook: NotebookFile,
    sections: Sections,
    preset: Preset,
    folders: Mapping[str, str | Path | None],
    given: Sequence[tuple[str, str]],
) -> list[dict[str, Any]]:
    """Values of one notebook: defaults, those of the preset, folders, those that were given."""
    chosen = _preset_values(notebook, preset, sections)
    typed = _given_values(notebook, given)
    places = {
        name: str(Path(path).resolve())
        for name, path in folders.items()
        if path and name in notebook.parameters
    }
    if not reads_folder(notebook, notebook.defaults() | chosen | typed):
        places.pop("data_root", None)
    return [notebook.defaults(), chosen, places, typed]


def _check_encoding(notebook: NotebookFile, values: Mapping[str, Any]) -> None:
    """Refuse paths and names with bytes that are not UTF-8: no notebook's file can hold them."""
    for name, value in values.items():
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise UsageError(
                    f"{notebook.name}: {name}: {escaped(value)} is not UTF-8; rename the folder"
                ) from error


def _by_notebook(preset: Preset, notebooks: Sequence[NotebookFile]) -> Sections:
    """The sections of a preset by the full name of the notebook that each is for."""
    names = list(dict.fromkeys(notebook.name for notebook in notebooks))
    sections: Sections = {}
    for section, values in preset.sections.items():
        fitting = [section] if section == _ALL else fitting_names(section, names)
        if len(fitting) != 1:
            problem = f"fits {', '.join(fitting)}" if fitting else "is neither a notebook nor 'all'"
            raise UsageError(
                f"{preset.source}: the section {shortened(section)} {problem}"
                f"{'' if fitting else nearest(section, [*names, _ALL])}"
            )
        if fitting[0] in sections:
            raise UsageError(f"{preset.source}: there are two sections for {fitting[0]}")
        sections[fitting[0]] = values
    everywhere = {name for notebook in notebooks for name in notebook.parameters}
    unknown = [name for name in sections.get(_ALL, {}) if name not in everywhere]
    if unknown:
        raise UsageError(
            f"{preset.source}: no notebook has the parameter {shortened(unknown[0])} given under "
            f"'all'{nearest(unknown[0], everywhere)}"
        )
    return sections


def _preset_values(notebook: NotebookFile, preset: Preset, sections: Sections) -> dict[str, Any]:
    """What a preset says for one notebook; its own part wins over the part for all."""
    shared = {
        name: value for name, value in sections.get(_ALL, {}).items() if name in notebook.parameters
    }
    return {
        name: _read(notebook, name, value, preset.source, preset.folder)
        for name, value in (shared | sections.get(notebook.name, {})).items()
    }


def _given_values(notebook: NotebookFile, given: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """What the command line says for one notebook."""
    return {name: _read(notebook, name, text, f"-p {name[:60]}", Path()) for name, text in given}


def _read(notebook: NotebookFile, name: str, given: Given, source: str, folder: Path) -> Any:
    """A value as the type of the parameter's default; a path is taken from ``folder``."""
    hint = f"`python -m adhelpers list {notebook.name}` shows its parameters"
    if name not in notebook.parameters:
        raise UsageError(
            f"{source}: {notebook.name} has no parameter {shortened(name)}"
            f"{nearest(name, notebook.parameters)}\n{hint}"
        )
    if name == "results":
        raise UsageError(f"{source}: the folder of the results is set with --results")
    parameter = notebook.parameters[name]
    try:
        value = parameter.read(given)
    except UsageError as error:
        raise UsageError(f"{source}: {notebook.name}: {error}\n{hint}") from error
    if not _is_path(parameter, value):
        return value
    path = (folder / Path(value).expanduser()).resolve()
    if name not in _NOT_LOADED and not path.exists():
        named = parameter.choices.values if parameter.choices else ()
        raise UsageError(
            f"{source}: {notebook.name}: {name}: there is no {path}{nearest(value, named)}"
        )
    return str(path)


def _is_path(parameter: Parameter, value: Any) -> bool:
    """Whether a value leads to a file or folder, by the parameter's name or by its comment."""
    if not value or not isinstance(value, str):
        return False
    choices = parameter.choices
    if choices is None:
        return parameter.name in _PATHS
    return choices.is_open and "the path of" in parameter.help and value not in choices.values
