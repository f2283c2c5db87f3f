"""Small notebooks for the tests of the runner."""

import io
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from adhelpers.runner import run_notebooks

PARAMETERS = """category = "screw"  # image category; "" = none, # is kept out
seed = 0  # random seed
rate = 0.1
sizes = (256, 96)  # height, width
layer = None
verbose = False
data_root = ""
results = ""
models = ""
"""


@pytest.fixture(scope="session")
def write_notebook():
    """Function that writes a notebook of the given cells."""

    def write(path, *sources, parameters=PARAMETERS, title="A small notebook"):
        cells = [new_markdown_cell(f"# {title}\n\nWhat is it?")]
        if parameters is not None:
            cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        for source in sources:
            cells.append(
                new_markdown_cell(source) if source.startswith("#") else new_code_cell(source)
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(new_notebook(cells=cells), path)
        return path

    return write


@pytest.fixture
def folder(tmp_path, write_notebook):
    """A folder with two notebooks that are never run."""
    write_notebook(tmp_path / "notebooks" / "01_screw.ipynb")
    write_notebook(
        tmp_path / "notebooks" / "02_other.ipynb", parameters="seed = 1", title="The other"
    )
    return tmp_path / "notebooks"


@pytest.fixture(scope="session")
def ran(tmp_path_factory, write_notebook):
    """One good and one failing notebook, run at the same time; then the good one again, failing."""
    root = tmp_path_factory.mktemp("ran {braces}")
    write_notebook(
        root / "notebooks" / "01_good.ipynb",
        "## Set-up",
        "import os, sys, pathlib\nprint(sys.executable, os.getcwd(), seed, results)",
        "folder = pathlib.Path(os.environ['ADHELPERS_RUN_FOLDER'])\n"
        "(folder / 'samples.csv').write_text(f'seed\\n{seed}\\n')\n"
        "print(os.environ['ADHELPERS_STATIC'])",
        "if verbose:\n    raise RuntimeError('late trouble')",
    )
    write_notebook(
        root / "notebooks" / "02_bad.ipynb",
        "## Training",
        "x = 1",
        "### Last epoch",
        "\n\ny = 0\n1 / y\nz = 2\nw = 3",
        parameters=None,
    )
    text = io.StringIO()
    options = dict(
        results=root / "results", models=root / "models", folder=root / "notebooks", stream=text
    )
    both = run_notebooks(given=(), jobs=2, **options)
    folder = root / "results" / "01_good" / "screw"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = run_notebooks(["01"], given=[("verbose", "true"), ("seed", "9")], **options)
    return SimpleNamespace(
        root=root, both=both, again=again, text=text.getvalue(), before=before, folder=folder
    )
