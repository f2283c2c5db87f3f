import io
import json

import numpy as np
import pytest
from PIL import Image

from adhelpers.runner import UsageError, answer_lines, start
from adhelpers.runner.start import NOTEBOOK

PARAMETERS = """category = "screw"  # image category
data_root = ""
bit_depth = 0
seed = 0  # random seed
results = ""
models = ""
"""


def write_images(folder, count):
    folder.mkdir(parents=True)
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 255, (30, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def options(tmp_path, write_notebook, monkeypatch):
    """A notebook in the place of the real one, which says what it was given."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_notebook(
        tmp_path / "notebooks" / f"{NOTEBOOK}.ipynb",
        "import os, pathlib\n"
        "folder = pathlib.Path(os.environ['ADHELPERS_RUN_FOLDER'])\n"
        "(folder / 'given.txt').write_text(f'{data_root}\\n{category}\\n{seed}')",
        parameters=PARAMETERS,
    )
    places = {name: tmp_path / name for name in ("results", "models", "notebooks")}
    return {"stream": io.StringIO(), **places}


def test_good_images_alone_are_made_a_category_first(tmp_path, options):
    outcome = start(write_images(tmp_path / "tiles", 8), [("seed", "5")], **options)
    assert outcome.problem is None and outcome.category == "tiles"
    root, category, seed = (outcome.folder / "given.txt").read_text().splitlines()
    assert (category, seed) == ("tiles", "5")
    assert len(list((tmp_path / "cache").rglob("tiles/test/planted/*.png"))) == 2
    assert root.startswith(str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "make, problem",
    [
        (lambda path: None, "data: there is no folder"),
        (lambda path: path.touch(), "is a file; give the folder"),
        (lambda path: path.mkdir(), "holds no category of images"),
        (lambda path: write_images(path, 3), "there are 3 good images; at least four"),
        (lambda path: write_images(path / "train" / "good", 2), "there are 2 good images"),
        (lambda path: write_images(path / "test" / "good", 2), "no folder .*train/good"),
        (lambda path: write_images(path / "good", 2), "holds no category of images"),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path, options, make, problem):
    make(tmp_path / "part")
    with pytest.raises(UsageError, match=problem) as caught:
        start(tmp_path / "part", **options)
    assert len(str(caught.value).splitlines()) == 1
    assert not options["results"].exists()


def test_the_answer_of_a_run_is_printed(tmp_path):
    answer = {
        "answer": "Use it",
        "because": "9 of 9.",
        "figures": "Recall 1.00.",
        "look_first": [{"name": "test/cut/0.png", "verdict": "missed"}],
        "findings": ["One.", "Two.", "Three."],
    }
    (tmp_path / "summary.json").write_text(json.dumps({"answer": answer}))
    assert answer_lines(tmp_path) == [
        "Use it. 9 of 9.",
        "Recall 1.00.",
        "One.",
        "Two.",
        "Look first at: test/cut/0.png (missed).",
    ]
    (tmp_path / "summary.json").write_text('{"answer": null}')
    assert answer_lines(tmp_path) == answer_lines(tmp_path / "nowhere") == []
