"""Bad input, full disks and killed processes: one clear error each, nothing lost."""

import io
import json
import os
import signal
import sys
import time
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from adhelpers.runner import UsageError, run_notebooks


def write_notebook(path, parameters, *sources):
    cells = [
        new_markdown_cell("# What breaks?"),
        new_code_cell(parameters, metadata={"tags": ["parameters"]}),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[*cells, *map(new_code_cell, sources)]), path)


def write_images(root, side=32, train=6, good=2, bad=4):
    """A category "tile" with a bright square as defect."""
    random = np.random.default_rng(0)
    for kind, count in (("train/good", train), ("test/good", good), ("test/spot", bad)):
        for index in range(count):
            image = random.integers(90, 110, (side, side), dtype=np.uint8)
            mask = np.zeros_like(image)
            if kind == "test/spot":
                mask[8:16, 8:16] = 255
                image[mask > 0] += 80
                save(root / "tile" / "ground_truth" / "spot" / f"{index:03}_mask.png", mask)
            save(root / "tile" / kind / f"{index:03}.png", image)
    return root


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


# ---- bad images

LOAD = (
    "from adhelpers.data import load_category\n"
    "from adhelpers.metrics import detection_report, midpoint_threshold, optimal_jaccards\n"
    "from adhelpers.runner import start_run\n"
    "run = start_run(name, globals())\ntile = load_category(data_root, category, image_size=32)\n"
    "scores = tile.test.images.std(axis=(1, 2, 3))"
)
REPORT = (
    "threshold = midpoint_threshold(scores, tile.test.labels)\n"
    "detection_report(scores, tile.test.labels, tile.test.types, threshold)"
)
# A limit on the size of a file fails in the same place and way as a full disk.
FULL_DISK = (
    "import resource, signal\nimport pandas as pd\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    "soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))\n"
    "try:\n    run.samples(pd.DataFrame({'name': ['long' * 1000]}))\n"
    "finally:\n    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))"
)


def truncate(tile):
    for name in ("train/good/001.png", "test/spot/002.png"):
        (tile / name).write_bytes((tile / name).read_bytes()[:200])


# What is done to the category, the cell that fails, and what the person who waits is told.
CASES = {
    "truncated": (
        truncate,
        LOAD,
        [
            "CategoryError: category 'tile' has 2 problems",
            "train/good/001.png: cannot be read",
            "test/spot/002.png: cannot be read",
        ],
    ),
    "othermask": (
        lambda tile: save(tile / "ground_truth/spot/001_mask.png", np.zeros((8, 9), np.uint8)),
        LOAD,
        [
            "ground_truth/spot/001_mask.png: the mask has 8x9 pixels",
            "its image test/spot/001.png has 32x32",
        ],
    ),
    "equal": (
        lambda tile: None,
        f"scores = scores * 0\n{REPORT}",
        ["every image the same score (0): there is nothing to threshold"],
    ),
    "nan": (
        lambda tile: None,
        "maps = tile.test.images[..., 0].copy()\nmaps[3, 5] = float('nan')\n"
        "optimal_jaccards(maps, tile.test.masks)",
        ["ValueError", "3", "NaN"],
    ),
    "fulldisk": (
        lambda tile: None,
        FULL_DISK,
        ["OSError: [Errno 27] File too large", "samples.csv"],
    ),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """A notebook for each case, all run at once beside an earlier good result of the first."""
    root = tmp_path_factory.mktemp("broken")
    for name, (damage, source, _) in CASES.items():
        damage(write_images(root / name / "data") / "tile")
        data_root = str(root / name / "data")
        parameters = f"category = 'tile'\nname = {name!r}\ndata_root = {data_root!r}\nresults = ''"
        write_notebook(
            root / "notebooks" / f"{name}.ipynb", parameters, *dict.fromkeys([LOAD, source])
        )
        earlier = root / "results" / name / "tile" / "summary.json"
        earlier.parent.mkdir(parents=True)
        earlier.write_text("{}")
    stream = io.StringIO()
    outcomes = run_notebooks(
        results=root / "results", folder=root / "notebooks", jobs=2, stream=stream
    )
    return SimpleNamespace(
        results=root / "results",
        outcomes={one.notebook: one for one in outcomes},
        told=stream.getvalue(),
    )


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_clear_error_and_nothing_is_lost(broken, name):
    problem = broken.outcomes[name].problem
    assert problem in broken.told and "Traceback" not in problem and "\x1b" not in problem
    for text in CASES[name][2]:
        assert text in problem
    folder = broken.results / name / "tile"
    assert {path.name for path in folder.iterdir()} == {"summary.json", f"{name}.failed.ipynb"}
    assert (folder / "summary.json").read_text() == "{}"
    assert any(
        cell.get("outputs") for cell in nbformat.read(folder / f"{name}.failed.ipynb", 4).cells
    )
    assert [path.name for path in folder.parent.iterdir()] == ["tile"]


def test_images_of_one_class_are_refused_before_anything_runs(tmp_path):
    tile = write_images(tmp_path / "data", bad=0) / "tile"
    (tile / "test" / "spot").mkdir()
    write_notebook(tmp_path / "notebooks" / "one.ipynb", 'category = "tile"\ndata_root = ""')
    with pytest.raises(UsageError, match="test holds no anomalous .* without both classes"):
        run_notebooks(data=tile, results=tmp_path / "results", folder=tmp_path / "notebooks")
    assert not (tmp_path / "results").exists()


# ---- killed processes

DETECT = """
import os, time
from pathlib import Path
from adhelpers.data import load_category
from adhelpers.detectors import VAEGAN, fit_or_load
from adhelpers.training import TrainingPlan
from adhelpers.training import loop as training
from adhelpers.runner import start_run

run = start_run("chain", globals())
Path(pid_file).write_text(str(os.getpid()))
tile = load_category(data_root, category, image_size=(image_height, 32))
write = training.write_checkpoint

def write_and_wait(*arguments):
    # Killed while it waits; a run that was not killed goes on at once.
    write(*arguments)
    time.sleep(wait_training)

training.write_checkpoint = write_and_wait
plan = TrainingPlan(epochs=6, schedule="cosine", checkpoint_every=3)
detector = fit_or_load(VAEGAN(width=0.1, latent_dim=4, plan=plan), tile, run.models)
"""
EXPLAIN = """
from adhelpers.explainers import explain_images, residual_map, versioned

computed = []

@versioned(1)
def explain(score, image, counterpart, *, seed=0):
    from IPython import get_ipython

    values = get_ipython().user_ns
    values["computed"].append(1)
    if len(values["computed"]) == 4:
        values["time"].sleep(values["wait_explaining"])
    return values["residual_map"](score, image, counterpart)

counterparts = detector.counterpart(tile.test.images)
store = detector.folder / "explanations"
explanations = explain_images(
    explain, detector.score, tile.test.images, counterparts, store=store
)
(run.folder / "computed.txt").write_text(f"{len(computed)} {len(explanations.errors)}")
"""


class Chain:
    """Images, training, explanations as a small notebook, started by the real command line."""

    def __init__(self, root, start_process):
        self.root, self.start_process = root, start_process
        write_images(root / "data")
        parameters = (
            'category = "tile"\ndata_root = ""\nimage_height = 32\nresults = ""\nmodels = ""\n'
            f"wait_training = 0\nwait_explaining = 0\npid_file = {str(root / 'pid')!r}"
        )
        write_notebook(root / "notebooks" / "chain.ipynb", parameters, DETECT, EXPLAIN)
        self.earlier = root / "results" / "chain" / "tile" / "summary.json"
        self.earlier.parent.mkdir(parents=True)
        self.earlier.write_text("{}")

    def start(self, **parameters):
        command = [
            sys.executable,
            "-m",
            "adhelpers",
            "run",
            "--notebooks",
            "notebooks",
            "--data",
            "data",
            "--results",
            "results",
            "--models",
            "models",
        ]
        for name, value in parameters.items():
            command += ["-p", name, str(value)]
        self.runner = self.start_process(command, self.root)
        return self.runner

    def wait_for(self, pattern, count=1):
        self.wait_until(lambda: len(self.find(pattern)) >= count)
        return self.find(pattern)

    def wait_until(self, condition):
        deadline = time.monotonic() + 120
        while not condition():
            assert self.runner.poll() is None, self.runner.communicate()[1]
            assert time.monotonic() < deadline, "what the run was to leave has not come"
            time.sleep(0.05)

    def find(self, pattern):
        return sorted(
            path
            for path in (self.root / "models" / "tile" / "vae_gan").glob(pattern)
            if ".partial" not in path.name
        )

    @property
    def kernel(self):
        return int((self.root / "pid").read_text())


def epochs(checkpoint):
    """The history so far that a checkpoint holds."""
    with np.load(checkpoint) as stored:
        return json.loads(stored["state"].tobytes())["state"]["history"]


def assert_ends(pid, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail(f"process {pid} is still there")


def test_a_run_that_is_killed_again_and_again_goes_on_where_it_was(tmp_path, start_process):
    chain = Chain(tmp_path, start_process)
    # The runner is killed in the training: its kernel must not stay behind.
    runner = chain.start(wait_training=300)
    try:
        [checkpoint] = chain.wait_for("*.checkpoint.npz")
    finally:
        runner.kill()
    runner.communicate()
    assert_ends(chain.kernel)
    trained = epochs(checkpoint)
    assert len(trained) == 3

    # Ctrl-C in the training, which has gone on from there.
    runner = chain.start(wait_training=300)
    try:
        chain.wait_until(lambda: len(epochs(checkpoint)) == 6)
        runner.send_signal(signal.SIGINT)
        out, err = runner.communicate(timeout=60)
    finally:
        runner.kill()
    assert (
        runner.returncode == 130
        and out == ""
        and err.splitlines() == ["chain (tile): started", "adhelpers: interrupted"]
    )
    assert_ends(chain.kernel)

    # The kernel is killed in the explanation of the fourth image: the runner says so.
    runner = chain.start(wait_explaining=300)
    try:
        before = chain.wait_for("*/explanations/*.arrays", 3)
        times = [path.stat().st_mtime_ns for path in before]
        os.kill(chain.kernel, signal.SIGKILL)
        out, err = runner.communicate(timeout=60)
    finally:
        runner.kill()
    assert runner.returncode == 1 and "chain  FAILED" in out
    assert (
        "the kernel died" in err and "resumes from what is stored" in err and "Traceback" not in err
    )
    history = pd.read_csv(chain.find("*/history.csv")[0])
    # Seconds never come out the same twice: these epochs were not trained again.
    assert (
        history["seconds"].tolist()[:3] == [row["seconds"] for row in trained] and len(history) == 6
    )
    assert chain.find("*checkpoint*") == [] and chain.earlier.read_text() == "{}"

    runner = chain.start()
    out, err = runner.communicate(timeout=120)
    assert runner.returncode == 0, err
    assert [path.stat().st_mtime_ns for path in before] == times and len(
        chain.find("*/explanations/*.arrays")
    ) == 6
    result = tmp_path / "results" / "chain" / "tile"
    assert (result / "computed.txt").read_text() == "3 0" and not (
        result / "chain.failed.ipynb"
    ).exists()
    assert_ends(chain.kernel)
