"""Finding notebooks and reading their titles and parameters."""

import pytest

from adhelpers.runner import UsageError, copy_notebooks, find_notebooks
from adhelpers.runner.notebooks import notebooks_in, read_notebook


def test_parameters_are_read_with_defaults_and_comments(folder):
    notebook = read_notebook(folder / "01_screw.ipynb")
    assert notebook.title == "A small notebook"
    assert {name: one.default for name, one in notebook.parameters.items()} == {
        "category": "screw",
        "seed": 0,
        "rate": 0.1,
        "sizes": (256, 96),
        "layer": None,
        "verbose": False,
        "data_root": "",
        "results": "",
        "models": "",
    }
    assert notebook.parameters["category"].help == 'image category; "" = none, # is kept out'
    assert notebook.parameters["rate"].help == ""


@pytest.mark.parametrize("source", ["seed = int('3')", "a, b = 1, 2", "seed ="])
def test_parameters_that_are_no_literals_are_refused(tmp_path, source, write_notebook):
    path = write_notebook(tmp_path / "n.ipynb", parameters=source)
    with pytest.raises(ValueError, match="plain literals"):
        read_notebook(path)


@pytest.mark.parametrize("content", ["{", "[]", '{"cells": 3}', '{"cells": [3]}', "\x00"])
def test_a_file_that_is_no_notebook_is_named(tmp_path, content):
    (tmp_path / "broken.ipynb").write_text(content)
    with pytest.raises(ValueError, match="broken.ipynb is not a Jupyter notebook"):
        read_notebook(tmp_path / "broken.ipynb")
    [broken] = notebooks_in(tmp_path)
    assert broken.name == "broken" and broken.parameters == {}


def test_notebooks_are_found_by_name_prefix_and_path(folder):
    by_path = str(folder / "02_other.ipynb")
    for names, expected in [
        ((), ["01_screw", "02_other"]),
        (["01"], ["01_screw"]),
        (["02_other"], ["02_other"]),
        ([by_path], ["02_other"]),
        (["02", by_path], ["02_other"]),
    ]:
        assert [notebook.name for notebook in find_notebooks(names, folder)] == expected
    with pytest.raises(UsageError, match="01_scrww.*did you mean 01_screw"):
        find_notebooks(["01_scrww"], folder)
    with pytest.raises(UsageError, match="fits several"):
        find_notebooks(["0"], folder)
    with pytest.raises(UsageError, match="no notebooks"):
        find_notebooks([], folder / "empty")


def test_notebooks_are_copied_once_and_those_that_are_there_stay(tmp_path):
    first = copy_notebooks(tmp_path / "mine")
    assert len([one for one in first if one.suffix == ".ipynb"]) == 9
    assert (tmp_path / "mine" / "presets" / "full.yaml").is_file()
    changed = tmp_path / "mine" / "01_screw.ipynb"
    changed.write_text("changed")
    (tmp_path / "mine" / "02_hazelnut.ipynb").unlink()
    assert copy_notebooks(tmp_path / "mine") == [tmp_path / "mine" / "02_hazelnut.ipynb"]
    assert changed.read_text() == "changed"
    with pytest.raises(FileNotFoundError, match="there are no notebooks in"):
        copy_notebooks(tmp_path / "other", tmp_path)
