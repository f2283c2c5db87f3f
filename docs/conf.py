"""How Sphinx builds the pages: `make docs` writes docs/_build/html, without a network."""

import shutil
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
# Copies of the notebooks, executed ones where a run has left them; git does not keep these.
NOTEBOOKS = HERE / "notebooks"

project = "adhelpers"
copyright = "the adhelpers developers"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
# autosummary writes its pages with the first suffix.
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}

html_theme = "pydata_sphinx_theme"
html_title = "adhelpers"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "navbar_center": [],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_show_sourcelink = False
html_sidebars = {"**": ["globaltoc.html"]}

# Notebooks are executed by `adhelpers run`, which knows their data and parameters.
nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 4

autosummary_generate = True
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "inherited-members": False}
# The members of a class stand in its own text.
numpydoc_show_class_members = False
# ipywidgets' and the formula's scripts would come from a network.
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
html_js_files: list[str] = []


def copy_notebooks(app: Sphinx) -> None:
    """Put the notebooks beside the pages, those that a run has executed with their pictures."""
    shutil.rmtree(NOTEBOOKS, ignore_errors=True)
    NOTEBOOKS.mkdir()
    shutil.copytree(PROJECT / "notebooks" / "pictures", NOTEBOOKS / "pictures")
    for source in sorted((PROJECT / "notebooks").glob("[0-9]*.ipynb")):
        executed = sorted((PROJECT / "results" / source.stem).glob(f"*/{source.name}"))
        shutil.copy(executed[0] if executed else source, NOTEBOOKS / source.name)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", copy_notebooks)
