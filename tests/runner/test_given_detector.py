"""Wrong detectors: one clear line each before a kernel starts, and right ones are let pass."""

import json
from pathlib import Path

import pytest

from adhelpers.runner import UsageError, find_notebooks
from adhelpers.runner.given_detector import WAYS, check_given_detector

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = {notebook.name: notebook for notebook in find_notebooks(folder=FOLDER)}
NOTEBOOK = NOTEBOOKS["08_your_detector"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("given")
    (root / "maps" / "crack").mkdir(parents=True)
    (root / "maps" / "crack" / "000.npy").touch()
    (root / "empty").mkdir()
    (root / "scores.csv").write_text("image,score\n")
    (root / "text.onnx").write_text("not a model")
    (root / "nothing.onnx").touch()
    (root / "model.onnx").write_bytes(b"\x08\x08rest")
    for name, manifest in (
        ("bank", {"image_shape": [64, 64, 3]}),
        ("vectors", {"image_shape": [12]}),
        ("other", ["no manifest"]),
    ):
        (root / name).mkdir()
        (root / name / "manifest.json").write_text(json.dumps(manifest))
    (root / "broken").mkdir()
    (root / "broken" / "manifest.json").write_text("{")
    (root / "package").mkdir()
    # What runs when it is imported must not run here.
    (root / "package" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (root / "package" / "mine.py").write_text(
        "import numpy as np\n\nraise SystemExit('imported')\n\n"
        "class Detector:\n    inner = None\n\ntry:\n    import quick as found\n"
        "except ImportError:\n    found = None\n\ndef score(images):\n    hidden = 1\n"
    )
    (root / "wild.py").write_text("from somewhere import *\n")
    (root / "wrong.py").write_text("def (:\n")
    return root


def check(place, **given):
    paths = {"maps", "scores", "onnx", "model", "import_from"}
    values = {name: str(place / one) if name in paths else one for name, one in given.items()}
    return check_given_detector(NOTEBOOK, NOTEBOOK.defaults() | values)


@pytest.mark.parametrize(
    "given, said",
    [
        ({"maps": "maps", "onnx": "model.onnx"}, "maps and onnx are given; give one of maps, onnx"),
        (
            {"onnx": "model.onnx", "detector": "json:load", "model": "bank"},
            "onnx and detector and model are given",
        ),
        ({"scores": "scores.csv"}, "scores goes with maps"),
        ({"onnx": "model.onnx", "scores": "scores.csv"}, "scores goes with maps"),
        ({"maps": "maps", "mean": [0.5]}, "mean goes with onnx or detector"),
        ({"model": "bank", "output": "score"}, "output goes with onnx or detector"),
        ({"onnx": "model.onnx", "import_from": "package"}, "import_from goes with detector"),
        ({"maps": "maps", "axes": "NHWC"}, "axes goes with onnx or detector"),
        ({"bgr": True}, "bgr goes with onnx or detector"),
        ({"maps": "scores.csv"}, "scores.csv is a file; give the folder of the anomaly maps"),
        ({"maps": "empty"}, "empty holds no anomaly maps (.npy, .npz, .png, .tif, .tiff)"),
        ({"maps": "maps", "scores": "empty"}, "empty is a folder; give a CSV file"),
        ({"onnx": "empty"}, "empty is a folder; give an ONNX file"),
        ({"onnx": "text.onnx"}, "text.onnx is no ONNX file"),
        ({"onnx": "nothing.onnx"}, "nothing.onnx is no ONNX file"),
        ({"detector": "package.mine"}, "'package.mine' must have the form package.module:object"),
        ({"detector": "package/mine.py:score"}, "must have the form package.module:object"),
        ({"detector": "package.mine:"}, "must have the form package.module:object"),
        ({"detector": "no_such_module:score", "import_from": "."}, "no module no_such_module in"),
        ({"detector": "package.yours:score", "import_from": "."}, "no module package.yours in"),
        (
            {"detector": "package.mine:scores", "import_from": "."},
            "package.mine has no scores; did you mean score?",
        ),
        # A name inside a function or a class is none of the module's.
        ({"detector": "package.mine:hidden", "import_from": "."}, "package.mine has no hidden"),
        ({"detector": "package.mine:inner", "import_from": "."}, "package.mine has no inner"),
        ({"model": "empty"}, "holds no manifest.json; give the folder of a stored detector"),
        ({"model": "broken"}, "is no manifest of a stored detector"),
        ({"model": "other"}, "is no manifest of a stored detector"),
        ({"model": "vectors"}, "takes no images"),
    ],
)
def test_a_wrong_detector_is_one_clear_line(place, given, said):
    with pytest.raises(UsageError) as caught:
        check(place, **given)
    line = str(caught.value)
    assert said in line and line.startswith("08_your_detector: ")
    assert "\n" not in line and not line.endswith(".")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"maps": "maps", "scores": "scores.csv"},
        {"onnx": "model.onnx", "mean": [0.5], "std": [0.2], "bgr": True},
        {"model": "bank"},
        {"detector": "json:load"},
        {"detector": "sys:stdout"},
        {"detector": "package.mine:Detector.inner", "import_from": "."},
        {"detector": "package.mine:found", "import_from": "."},
        # What such a module holds is known only when it runs.
        {"detector": "wild:anything", "import_from": "."},
        {"detector": "wrong:anything", "import_from": "."},
    ],
)
def test_a_right_one_is_let_pass(place, given):
    assert check(place, **given) is None


def test_other_notebooks_have_no_such_parameters():
    notebook = NOTEBOOKS["04_cae"]
    assert not set(WAYS) <= notebook.parameters.keys()
    values = notebook.defaults() | {"model": "anything"}
    assert check_given_detector(notebook, values) is None
