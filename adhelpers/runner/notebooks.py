"""What a notebook says about itself, and which value each of its parameters gets in a run."""

import ast
import contextlib
import difflib
import io
import json
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

import adhelpers


# Kinds of data that a notebook with a parameter ``dataset`` reads from a folder of categories. The
# others are embedded, rendered or downloaded: the root folder of the images is not for them.
_READ_FROM_FOLDER = ("category", "folder")


@dataclass(frozen=True)
class Parameter:
    """One assignment in a notebook's cell tagged ``parameters``: its name, its default (a plain literal) and its comment."""

    name: str
    default: object
    help: str


@dataclass(frozen=True)
class NotebookFile:
    """A notebook on disk: its path, the title in its first heading, and its parameters by name."""

    path: Path
    title: str
    parameters: dict

    @property
    def name(self):
        """Name on the command line: the file's name without its suffix."""
        return self.path.stem


class UsageError(ValueError):
    """A wrong name or value that was given by the person who starts a run; nothing has been run."""


def project_root():
    """The folder that holds ``notebooks/`` and the package (an editable installation), else the current folder."""
    root = Path(adhelpers.__file__).resolve().parents[1]
    return root if (root / "notebooks").is_dir() else Path.cwd()


def nearest(name, names):
    """``"; did you mean …?"`` with the names most like ``name``, or an empty text.

    Examples
    --------
    >>> nearest("catgory", ["seed", "category"])
    '; did you mean category?'
    """
    close = difflib.get_close_matches(name, list(names), n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _comments(source):
    """Comment at the end of each line of Python source, by line number."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def _parameters_of(source, path):
    try:
        comments = _comments(source)
        assignments = [
            node for node in ast.parse(source).body if isinstance(node, (ast.Assign, ast.AnnAssign))
        ]
        parameters = {}
        for node in assignments:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            parameters[target.id] = Parameter(
                target.id, ast.literal_eval(node.value), comments.get(node.end_lineno, "")
            )
    except (SyntaxError, ValueError, AttributeError, tokenize.TokenError) as error:
        raise ValueError(
            f"{path}: the cell tagged 'parameters' must hold plain literals only, name = value ({error})"
        ) from error
    return parameters


def read_notebook(path):
    """Read title and parameters of a notebook without running it.

    Parameters
    ----------
    path : str or Path
        An ``.ipynb`` file.

    Returns
    -------
    NotebookFile

    Raises
    ------
    ValueError
        If the file is no notebook or its parameters are not plain literals.
    """
    # papermill.inspect_notebook reads line by line: it loses a parameter whose comment holds "="
    # and takes a second to import.
    path = Path(path)
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = [
            (cell["cell_type"], "".join(cell["source"]), cell.get("metadata", {}).get("tags", []))
            for cell in cells
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a Jupyter notebook") from error
    lines = [
        line for kind, source, _ in sources if kind == "markdown" for line in source.splitlines()
    ]
    title = next((line.lstrip("# ").strip() for line in lines if line.startswith("# ")), path.stem)
    tagged = [source for kind, source, tags in sources if kind == "code" and "parameters" in tags]
    return NotebookFile(path, title, _parameters_of(tagged[0], path) if tagged else {})


def find_notebooks(names=(), folder=None):
    """Find notebooks by name (``01_screw``), by the beginning of the name (``01``) or by path.

    Parameters
    ----------
    names : sequence of str
        None named means all of ``folder``.
    folder : str or Path, optional
        By default the project's ``notebooks/``.

    Returns
    -------
    list of NotebookFile

    Raises
    ------
    UsageError
        If a name fits no notebook or several.
    """
    folder = Path(folder) if folder else project_root() / "notebooks"
    present = sorted(folder.glob("*.ipynb"))
    if not names:
        if not present:
            raise UsageError(f"no notebooks in {folder}")
        return [read_notebook(path) for path in present]
    found = []
    for name in names:
        fitting = [path for path in present if path.stem == name] or [
            path for path in present if path.stem.startswith(name)
        ]
        if name.endswith(".ipynb") and Path(name).is_file():
            fitting = [Path(name).resolve()]
        if len(fitting) != 1:
            stems = [path.stem for path in fitting or present]
            problem = "fits several notebooks" if fitting else f"is no notebook in {folder}"
            raise UsageError(
                f"{name!r} {problem}: {', '.join(stems) or 'there are none'}{nearest(name, stems)}"
            )
        found.append(read_notebook(fitting[0]))
    return list({notebook.path: notebook for notebook in found}.values())


def read_preset(preset, folder=None):
    """Read a preset: parameter values by notebook name, those under ``all`` for every notebook that has them.

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
    """
    presets = (Path(folder) if folder else project_root() / "notebooks") / "presets"
    path = Path(preset) if preset.endswith((".yaml", ".yml")) else presets / f"{preset}.yaml"
    if not path.is_file():
        if preset == "quick":
            return {}
        known = sorted({"quick", *(file.stem for file in presets.glob("*.yaml"))})
        raise UsageError(
            f"no preset {preset!r}; there are {', '.join(known)}, or give the path of a YAML file{nearest(preset, known)}"
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


def _listing(notebook):
    return "".join(
        f"\n  {one.name} = {one.default!r}  {one.help}".rstrip()
        for one in notebook.parameters.values()
    )


def _checked(notebook, name, value, source):
    """``value`` as the type of the parameter's default, or an error that lists the parameters."""
    if name not in notebook.parameters:
        raise UsageError(
            f"{source}: {notebook.name} has no parameter {name!r}{nearest(name, notebook.parameters)}\n"
            f"Its parameters:{_listing(notebook) or ' none'}"
        )
    default = notebook.parameters[name].default
    if (
        default is None
        or type(value) is type(default)
        or (isinstance(default, tuple) and isinstance(value, list))
    ):
        return value
    if isinstance(default, float) and not isinstance(value, bool):
        # YAML takes 1e-3 for a text, because it has no point.
        with contextlib.suppress(TypeError, ValueError):
            return float(value)
    raise UsageError(
        f"{source}: parameter {name} of {notebook.name} takes {type(default).__name__}, got {value!r}; the default is "
        f"{default!r}\nIts parameters:{_listing(notebook)}"
    )


def _from_text(notebook, name, text, source):
    """A value from the command line; where the default is a text it is taken as it stands ("no", "01")."""
    if name in notebook.parameters and isinstance(notebook.parameters[name].default, str):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{source}: {text!r} is not a YAML value") from error


def _takes_data(notebook: NotebookFile, values: dict, given: Sequence[tuple[str, str]]) -> bool:
    """Whether a notebook reads its images from the root folder of all categories."""
    if "dataset" not in notebook.parameters:
        return "data_root" in notebook.parameters
    default = notebook.parameters["dataset"].default
    return dict(given).get("dataset", values.get("dataset", default)) in _READ_FROM_FOLDER


def values_for(notebooks, preset=None, data=None, given=(), results=None, models=None, others=()):
    """The values that each notebook gets: default, then preset, then ``data`` (as ``data_root``), then ``given``.

    Parameters
    ----------
    notebooks : list of NotebookFile
    preset : dict, optional
        As from :func:`read_preset`.
    data : str or Path, optional
        Root folder of the images. A notebook with a parameter ``dataset`` gets it only where that
        is ``category`` or ``folder``.
    given : sequence of (str, str)
        Names and texts from the command line; each must be a parameter of each notebook.
    results, models : str or Path, optional
        Given to the notebooks that have parameters of these names.
    others : sequence of NotebookFile
        Notebooks that do not run, but whose parameters a preset may hold under ``all``.

    Returns
    -------
    list of dict
        What is to be passed to each notebook.

    Raises
    ------
    UsageError
        For an unknown name or a value of another type than the default's. Nothing has been run
        then.
    """
    preset = preset or {}
    everywhere = {name for notebook in (*notebooks, *others) for name in notebook.parameters}
    unknown = [name for name in preset.get("all", {}) if name not in everywhere]
    if unknown:
        raise UsageError(
            f"preset: no notebook has the parameter {unknown[0]!r} given under 'all'{nearest(unknown[0], everywhere)}"
        )
    folders = {
        "data_root": data,
        "results": results,
        "models": models,
        "model": None,
        "load_model": None,
        "load_config": None,
    }
    passed = []
    for notebook in notebooks:
        shared = {
            name: value
            for name, value in preset.get("all", {}).items()
            if name in notebook.parameters
        }
        values = shared | preset.get(notebook.name, {})
        values = {name: _checked(notebook, name, value, "preset") for name, value in values.items()}
        # A kernel runs in the folder of its notebook, so a path relative to the caller's folder
        # would lead elsewhere.
        values |= {
            name: str(Path(path).resolve())
            for name, path in folders.items()
            if path and name in notebook.parameters
            if name != "data_root" or _takes_data(notebook, values, given)
        }
        for name, text in given:
            values[name] = _checked(
                notebook, name, _from_text(notebook, name, text, f"-p {name}"), f"-p {name}"
            )
            if name in folders and values[name]:
                values[name] = str(Path(values[name]).resolve())
        passed.append(values)
    return passed


def run_name(values):
    """What a run's folder is called, from the values of its notebook's parameters: ``category``; where that is empty ``dataset``, if there is one; else
    ``default``.

    Examples
    --------
    >>> run_name({"dataset": "digits", "category": ""}), run_name({"category": "screw"}), run_name({"seed": 0})
    ('digits', 'screw', 'default')
    """
    if not values.get("category") and values.get("dataset"):
        return checked_category(values["dataset"])
    return checked_category(values.get("category", "default"))


def checked_category(category):
    """``category`` where it can name a folder, else a ValueError: results go to ``<notebook>/<category>/``."""
    if (
        not isinstance(category, str)
        or category != Path(category).name
        or category in ("", ".", "..")
        or "\\" in category
    ):
        raise ValueError(
            f"category must be the name of a folder without separators, got {category!r}"
        )
    return category
