"""The command line: what it prints, its exit codes, one clear line for each error."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from adhelpers.__main__ import main
from adhelpers.reports.summary import SUMMARY_KEYS


@pytest.fixture
def notebooks(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    source = 'category = "screw"  # image category\nrate = 0.1  # learning rate'
    parameters = new_code_cell(source, metadata={"tags": ["parameters"]})
    nbformat.write(
        new_notebook(cells=[new_markdown_cell("# Why this screw?"), parameters]),
        folder / "01_screw.ipynb",
    )
    nbformat.write(new_notebook(cells=[new_code_cell("print(1)")]), folder / "02_bare.ipynb")
    return folder


def test_list_shows_titles_parameters_defaults_and_comments(notebooks, capsys):
    assert main(["list", "--notebooks", str(notebooks)]) == 0
    assert capsys.readouterr().out == (
        "01_screw: Why this screw?\n"
        "  category  'screw'  image category\n"
        "  rate      0.1      learning rate\n\n"
        "02_bare: 02_bare\n  no parameters\n\n"
    )
    assert main(["list", "02", "--notebooks", str(notebooks)]) == 0
    assert "01_screw" not in capsys.readouterr().out


def test_run_prints_a_table_and_fails_with_one(notebooks, tmp_path, capsys):
    (notebooks / "01_screw.ipynb").unlink()
    cells = [new_markdown_cell("## Work"), new_code_cell("raise OSError('no lamp')")]
    nbformat.write(new_notebook(cells=cells), notebooks / "03_fails.ipynb")
    results = tmp_path / "out"
    assert main(["run", "--notebooks", str(notebooks), "--results", str(results)]) == 1
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()]
    assert rows[0][:2] == ["02_bare", "ok"] and rows[0][-1] == str(
        results / "02_bare" / "default" / "report.html"
    )
    assert rows[1][:2] == ["03_fails", "FAILED"] and rows[1][-1].endswith("03_fails.failed.ipynb")
    assert rows[2] == ["index:", str(results / "index.html")]
    assert "under “Work”" in err and "OSError: no lamp" in err and "Traceback" not in err


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (["run", "-p", "rte", "1"], "did you mean rate?"),
        (["run", "01", "-p", "rate", "fast"], "takes a number, got 'fast'"),
        (["run", "07"], "'07' is no notebook"),
        (["run", "--preset", "fast"], "no preset 'fast'"),
        (["run", "--data", "nowhere"], "no folder nowhere"),
        (["list", "07"], "'07' is no notebook"),
        (["run", "--jobs", "0"], "at least 1"),
        (["run", "--jobs", "two"], "at least 1, or auto, got two"),
        (["run", "--name", "../up"], "name must be at most 60 letters"),
        (["run", "--name", "x" * 5000], "name must be at most 60 letters"),
        (["run", ""], "'' is no notebook"),
        (["run", "01", "-p", "rate", "nan"], "rate takes a number, got 'nan'"),
        (["run", "01", "-p", "rate", "9" * 5000], "rate takes a number, got '999"),
        (["run", "01", "-p", "rte" * 5000, "1"], "01_screw has no parameter 'rte"),
        (["run", "--preset", "{bomb}"], "'b': anchors (&) and aliases (*) are not read"),
    ],
)
def test_wrong_use_is_one_clear_message_and_code_2(notebooks, capsys, arguments, problem):
    (notebooks / "bomb.yaml").write_text("b: &b [x, x]\nall: {rate: [*b, *b]}")
    given = [text.format(bomb=notebooks / "bomb.yaml") for text in arguments]
    assert main([*given, "--notebooks", str(notebooks)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("adhelpers: ") and problem in err and "Traceback" not in err
    assert err.count("\n") <= 5 and len(err) < 400


def test_start_on_nothing_is_one_clear_line(tmp_path, capsys):
    for folder, problem in (("nowhere", "there is no folder"), (".", "no category of images")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        place = tmp_path / "empty" / folder
        assert main(["start", str(place), "--results", str(tmp_path / "results")]) == 2
        out, err = capsys.readouterr()
        assert out == "" and problem in err and err.count("\n") == 1
    assert main(["start", str(place), "-p", "sede", "1"]) == 2
    assert "did you mean seed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["rnu"],
        ["run", "-p", "rate"],
        ["data"],
        ["data", "check"],
        # As from a shell variable that is not set.
        ["run", "--results", ""],
        ["run", "--models", " "],
        ["run", "--data", ""],
        ["list", "--notebooks", ""],
        ["index", "--results", ""],
        ["compare", ""],
        ["compare", "--output", ""],
        ["start"],
        ["start", ""],
        ["data", "check", ""],
        ["data", "render", "screw", "--to", ""],
        ["data", "fetch", "screw", "--to", ""],
        ["audit"],
        ["audit", "part"],
        ["audit", "part", "--maps", "maps", "--onnx", "model.onnx"],
        ["audit", "part", "--onnx", ""],
        ["audit", "--onnx", "model.onnx"],
    ],
)
def test_argparse_ends_with_code_2_too(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and "usage: python -m adhelpers" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["audit", "--help"],
        ["list", "--help"],
        ["index", "--help"],
        ["compare", "--help"],
        ["data", "--help"],
        ["data", "check", "--help"],
        ["data", "fetch", "--help"],
        ["data", "render", "--help"],
    ],
)
def test_every_command_explains_itself(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0 and len(capsys.readouterr().out.splitlines()) > 4


def test_a_damaged_notebook_is_named(notebooks, capsys):
    (notebooks / "02_bare.ipynb").write_text("{")
    assert main(["list", "--notebooks", str(notebooks)]) == 1
    assert (
        capsys.readouterr().err
        == f"adhelpers: {notebooks / '02_bare.ipynb'} is not a Jupyter notebook\n"
    )


def test_compare(tmp_path, capsys, monkeypatch):
    for name in ("screw", "nut"):
        folder = tmp_path / "results" / "01_screw" / name
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(json.dumps(dict.fromkeys(SUMMARY_KEYS)))
    (folder / "summary.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "results"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "1 run of 1 detector on 1 category."
    written = [f"leaderboard{end}" for end in (".html", ".csv", "_pairs.csv", ".tex")]
    assert out.splitlines()[-4:] == written
    assert err.startswith("adhelpers: 01_screw/nut/summary.json: cannot be read as a summary")
    assert "it needs 3 detectors" in (tmp_path / "leaderboard.html").read_text()
    monkeypatch.setenv("ADHELPERS_RESULTS", str(tmp_path / "results"))
    assert main(["compare", "--output", "other/board.html", "--metric", "aupro"]) == 0
    assert (tmp_path / "other" / "board.csv").exists() and "AUPRO" in capsys.readouterr().out
    for arguments, words in (
        (["nowhere"], "there is no folder nowhere"),
        (["--metric", "auroc"], "metric must be one of image_auroc"),
        (["--post-hoc", "t"], "post_hoc must be one of nemenyi, wilcoxon"),
        (["--output", "board.pdf"], "output must be a file .html"),
    ):
        assert main(["compare", *arguments]) == 1 and words in capsys.readouterr().err


def test_index(tmp_path, capsys):
    folder = tmp_path / "01_screw" / "screw"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(dict.fromkeys(SUMMARY_KEYS)))
    assert main(["index", "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'index.html'}\n"
    assert "01_screw" in (tmp_path / "index.html").read_text()
    assert main(["index", "--results", str(tmp_path / "none")]) == 2


def test_help_and_list_load_nothing_heavy(notebooks):
    code = (
        "import sys; from adhelpers.__main__ import main\n"
        f"main(['list', '--notebooks', {str(notebooks)!r}])\n"
        "names = 'tensorflow numpy pandas matplotlib papermill nbformat sklearn'\n"
        "heavy = set(names.split()) & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_images_are_checked_without_tensorflow(tmp_path):
    code = (
        "import sys; from adhelpers.__main__ import main\n"
        f"main(['data', 'check', {str(tmp_path / 'none')!r}])\n"
        "sys.exit('imported' if 'tensorflow' in sys.modules or 'keras' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_render_then_check(tmp_path, capsys):
    command = [
        "data",
        "render",
        "hazelnut",
        "--to",
        str(tmp_path),
        "--image-size",
        "64",
        "--train-count",
        "3",
        "--test-good-count",
        "1",
        "--defect-count",
        "1",
        "--seed",
        "3",
    ]
    assert main(command) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'hazelnut'}\n"
    assert main(["data", "check", f"{tmp_path / 'hazelnut'}/"]) == 0
    out = capsys.readouterr().out
    assert "crack" in out and "64" in out and "no problems" in out
    folder = str(tmp_path / "hazelnut")
    assert main(["data", "check", folder, "--bit-depth", "12", "--page", "0"]) == 0
    assert main(["data", "check", folder, "--bit-depth", "0"]) == 1
    assert "bit_depth must be a whole number from 1 to 16, not 0" in capsys.readouterr().err
    (tmp_path / "hazelnut" / "test" / "crack" / "000.png").write_bytes(b"no image")
    assert main(["data", "check", str(tmp_path / "hazelnut")]) == 1
    assert "test/crack/000.png" in capsys.readouterr().out


def test_data_errors_are_one_line(tmp_path, capsys):
    (tmp_path / "screw").mkdir()
    assert main(["data", "check", str(tmp_path / "scrw")]) in (1, 2)
    err = capsys.readouterr().err
    assert err.startswith("adhelpers: ") and "did you mean" in err.lower() and err.count("\n") == 1
    assert main(["data", "render", "toothbrush", "--to", str(tmp_path)]) == 1
    assert "toothbrush" in capsys.readouterr().err


def write_category(root, category, test=("good/0", "crack/0")):
    """A category of a few images of noise."""
    random = np.random.default_rng(sum(map(ord, category)))
    train = (f"train/good/{index}" for index in range(3))
    for name in (*train, *(f"test/{one}" for one in test)):
        path = root / category / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (8, 8), np.uint8)).save(path)


def test_check_takes_the_folder_of_all_categories(tmp_path, capsys):
    write_category(tmp_path, "nut")
    write_category(tmp_path, "bolt")
    (tmp_path / "nut" / "stray.txt").touch()
    (tmp_path / "licence.txt").touch()
    assert main(["data", "check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.index("category bolt\n") < out.index("category nut\n")
    assert out.splitlines()[-2:] == ["bolt: no problems", "nut: no problems, 1 remark"]

    # A wrong one, an empty one and a misnamed one do not hide the others.
    write_category(tmp_path, "apart", test=["crack/0"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "other" / "train" / "ok").mkdir(parents=True)
    assert main(["data", "check", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()[-5:]
    assert lines[0] == "apart: 1 problem" and lines[1] == "bolt: no problems"
    assert lines[2].startswith(f"empty: no category: no folder {tmp_path / 'empty' / 'train'}")
    assert lines[3] == "nut: no problems, 1 remark" and "rename train/ok to" in lines[4]

    assert main(["data", "check", str(tmp_path / "bolt" / "train" / "good" / "0.png")]) == 2
    assert "0.png is a file; give the folder" in capsys.readouterr().err
    assert main(["data", "check", str(tmp_path / "empty")]) == 1
    assert "no folder" in capsys.readouterr().err


def test_check_takes_a_layout_patterns_and_a_list(tmp_path, capsys):
    write_category(tmp_path, "nut")
    place = tmp_path / "nut"
    assert main(["data", "check", str(place), "--layout", "mvtec"]) == 0
    assert "layout: MVTec AD" in capsys.readouterr().out
    patterns = [
        "--good",
        "train/good/*.png",
        "--test-good",
        "test/good/*",
        "--defect",
        "test/cr*/*",
    ]
    assert main(["data", "check", str(place), *patterns]) == 0
    out = capsys.readouterr().out
    assert "layout: plain folders" in out and "crack" in out
    rows = [*(f"train/good/{index}.png,ok" for index in range(3)), "test/good/0.png,ok"]
    (place / "list.csv").write_text("\n".join(["path,label", *rows, "test/crack/0.png,1"]))
    assert main(["data", "check", str(place / "list.csv")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("category list\nlayout: CSV list list.csv") and "defect" in out
    assert main(["data", "check", str(place), "--layout", "vsia"]) == 2
    assert "did you mean 'visa'?" in capsys.readouterr().err
    assert main(["run", "01", "--good", "*.png"]) == 2
    assert "--good: give the images with --data" in capsys.readouterr().err


def test_the_published_data_sets_are_listed(capsys):
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert "VisA: 10,821 images" in out and "  licence  CC BY 4.0\n" in out


def test_names_do_not_act_on_the_terminal(tmp_path, capsys):
    folder = tmp_path / "a\x1b[2Jb"
    write_category(folder, "nut\x07", test=["crack/0"])
    assert main(["data", "check", str(folder)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == r"nut\x07: 1 problem"
    assert main(["data", "check", str(folder / "none")]) == 1
    assert r"a\x1b[2Jb" in capsys.readouterr().err
    assert main(["index", "--results", str(folder)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/" + r"a\x1b[2Jb/index.html" + "\n"


def test_fetch_wants_the_licence_accepted(tmp_path, capsys):
    assert main(["data", "fetch", "screw", "--to", str(tmp_path)]) == 1
    assert "--accept-license" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number, code", [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_any_command_with_its_code(tmp_path, monkeypatch, capsys, number, code):
    monkeypatch.setattr(
        "adhelpers.reports.write_index", lambda _: os.kill(os.getpid(), getattr(signal, number))
    )
    before = [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGHUP)]
    try:
        assert main(["index", "--results", str(tmp_path)]) == code
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGHUP, before[1])
    assert capsys.readouterr().err == "adhelpers: interrupted\n"


@pytest.mark.parametrize(
    "number, words", [(28, "the disk is full"), (30, "the file system is read-only")]
)
def test_disks_that_take_nothing_are_one_sentence_with_the_folder(
    tmp_path, monkeypatch, capsys, number, words
):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.mkstemp", fail)
    assert main(["index", "--results", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"adhelpers: {tmp_path / 'index.html'}: {words}\n"
    # The pictures are written one by one; the third one does not fit.
    saved = []

    def save(self, path, **_):
        saved.append(path)
        if len(saved) == 3:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr("PIL.Image.Image.save", save)
    render = ["data", "render", "hazelnut", "--to", str(tmp_path / "data"), "--image-size", "64"]
    small = ["--train-count", "4", "--test-good-count", "1", "--defect-count", "1"]
    assert main([*render, *small]) == 1
    assert capsys.readouterr().err == f"adhelpers: {tmp_path / 'data' / 'hazelnut'}: {words}\n"
    assert list((tmp_path / "data").iterdir()) == []


def test_predict_and_export_print_findings_and_say_by_their_code_what_was_found(
    tmp_path, capsys, monkeypatch
):
    from adhelpers.data import load_category, render_category
    from adhelpers.detectors import ResidualScore, Subspace, fit_or_load
    from adhelpers.steps import assess_detector

    monkeypatch.chdir(tmp_path)
    counts = {"train_count": 10, "test_good_count": 2, "defect_count": 1}
    render_category("data", "hazelnut", image_size=64, **counts)
    nuts = load_category("data", "hazelnut", 32)
    detector = Subspace(3, scoring=ResidualScore("max"))
    detector = fit_or_load(detector, nuts, "models", show_progress=False)
    assess_detector("subspace", detector, nuts)
    model, images = str(detector.folder), "data/hazelnut/test/*/*.png"
    assert main(["export", model, "nut.onnx"]) == 0
    assert "nut.onnx takes image: float32 (n, 32, 32, 1)" in capsys.readouterr().out
    assert main(["predict", "nut.onnx", images, "--threshold", "0"]) == 0
    out, err = capsys.readouterr()
    assert "flags 6 of 6 images (score above 0: given with --threshold)" in out and not err
    assert out.splitlines()[-1] == "predictions/predictions.html"
    assert main(["predict", "nut.onnx", images]) == 1
    assert capsys.readouterr().err == (
        "adhelpers: output: predictions holds the predictions of an earlier run; give another "
        "folder, or --overwrite to replace them\n"
    )
    always = ["predict", "nut.onnx", images, "--overwrite", "--fail-on-flag", "--threshold"]
    assert main([*always, "0"]) == 3 and main([*always, "9"]) == 0
    capsys.readouterr()
    (tmp_path / "a.png").write_text("no image")
    assert main(["predict", model, "a.png", "--output", "other"]) == 1
    assert capsys.readouterr().err.startswith("adhelpers: a.png: cannot be read as PNG")


def test_audit_runs_notebook_08_with_what_was_given(tmp_path, monkeypatch, capsys):
    asked = {}

    def run(names, **options):
        asked.update(options, names=names)
        return [SimpleNamespace(folder=tmp_path, problem="it failed")]

    monkeypatch.setattr("adhelpers.__main__.run_notebooks", run)
    monkeypatch.chdir(tmp_path)
    options = ["--mean", "0.5,0.4,0.3", "--map-output", "heat", "--bgr", "-p", "seed", "3"]
    options += ["--axes", "NHWC", "--input-size", "32,48"]
    assert main(["audit", "data/part", "--detector", "mine:score", *options]) == 1
    assert asked["names"] == ["08_your_detector"] and asked["data"] == Path("data/part")
    assert dict(asked["given"]) == {
        "detector": "mine:score",
        "import_from": str(tmp_path),
        "mean": "0.5,0.4,0.3",
        "map_output": "heat",
        "bgr": "True",
        "axes": "NHWC",
        "input_size": "32,48",
        "seed": "3",
    }


def test_a_detector_that_cannot_be_audited_is_one_line_before_anything_runs(tmp_path, capsys):
    for index, kind in enumerate(("train/good", "train/good", "test/good", "test/dent")):
        path = tmp_path / "part" / kind / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "model.onnx").write_text("no model")
    given = ["--onnx", str(tmp_path / "model.onnx"), "--results", str(tmp_path / "results")]
    assert main(["audit", str(tmp_path / "part"), *given]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "model.onnx is no ONNX file" in err
    assert not (tmp_path / "results").exists()
