"""Every value that the comment of a notebook's parameter names is accepted, and no other one.

Each parameter whose comment names values has an entry in `RECEIVERS`: what the notebook gives the
value to, on a few tiny images. A new parameter without an entry fails a test here.
"""

import gzip
import json
import re
import shutil
import struct
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from adhelpers import steps
from adhelpers.data import insulators_root, load_category, render_category
from adhelpers.detectors import (
    CAE,
    VAEGAN,
    AnoGAN,
    BackboneSettings,
    GanScore,
    GanSettings,
    ResidualScore,
    Search,
    Subspace,
)
from adhelpers.detectors.anogan.networks import check_sides
from adhelpers.detectors.deep_sad_networks import build_deep_sad_networks
from adhelpers.explainers import class_maps
from adhelpers.metrics import AreaChoice, AreaGrid
from adhelpers.runner import UsageError, find_notebooks
from adhelpers.runner.presets import read_preset, values_for
from adhelpers.steps.all_runs import EXPLAINERS
from adhelpers.steps.counterparts import choose_counterpart
from adhelpers.steps.deep_sad_settings import read_settings
from adhelpers.steps.given import given_functions, load_images
from adhelpers.training import Augmentation, TrainingPlan

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = {notebook.name: notebook for notebook in find_notebooks(folder=FOLDER)}
# Texts that name something of the user's own; what they may be is not listed anywhere.
FREE = {"category", "compare", "label_column", "layers", "normal_class", "pooled_layers"}
NAMED = [
    (notebook.name, parameter.name, value)
    for notebook in NOTEBOOKS.values()
    for parameter in notebook.parameters.values()
    if parameter.choices is not None
    for value in parameter.choices.values
]


class Receivers:
    """For each parameter what its notebook hands the value to; a wrong one raises an error."""

    def __init__(self, folder):
        self.root = folder
        counts = {"image_size": 64, "train_count": 6, "test_good_count": 2, "defect_count": 4}
        render_category(folder, "screw", **counts)
        self.screws = load_category(folder, "screw", image_size=(32, 16))
        self.subspace = Subspace(2).fit(
            self.screws.train.images, self.screws.validation.images, show_progress=False
        )
        insulators_root(folder, image_size=48, train_count=3, review_count=3, test_count=3)
        (self.insulators,) = folder.glob("rendered/*/insulators")
        self.idx, self.csv = folder / "idx", folder / "samples.csv"
        self.idid = folder / "idid"
        write_idid(self.idid)
        write_idx(self.idx)
        self.csv.write_text("a,b,label\n" + "1,2,x\n2,1,y\n" * 6)

    def parameters(self, notebook, **values):
        """The parameters of a notebook as a run would have them, on tiny images."""
        tiny = {"category": "screw", "data_root": str(self.root)}
        tiny |= {"image_height": 32, "image_width": 32, "validation_fraction": 0.3}
        return NOTEBOOKS[notebook].defaults() | tiny | values

    def image(self, notebook, name, value):
        if notebook.startswith("07"):
            values = {"dataset": "folder", name: value}
            return read_settings(self.parameters(notebook, **values)).load_samples()
        if notebook.startswith("08"):
            return load_images(self.parameters(notebook, **{name: value}))
        return steps.load_objects(self.parameters(notebook, **{name: value}))

    color = illumination = pose = crop = fit = image

    def side(self, notebook, name, value):
        check_sides((value, 32, 1))

    image_height = image_width = gan_side = side

    def size(self, notebook, name, value):
        VAEGAN(size=value)

    def flip(self, notebook, name, value):
        Augmentation(flip=value)

    def precision(self, notebook, name, value):
        kinds = {"03": AnoGAN, "04": CAE, "05": BackboneSettings, "09": BackboneSettings}
        kinds.get(notebook[:2], VAEGAN)(precision=value)

    def score(self, notebook, name, value):
        if notebook.startswith("03"):
            return GanScore(score=value)
        return self.scored(ResidualScore(score=value, smoothing=1.0))

    def residual(self, notebook, name, value):
        return self.scored(ResidualScore(residual=value, smoothing=1.0))

    def scored(self, scoring):
        train, held_out = self.screws.train.images, self.screws.validation.images
        detector = Subspace(2, scoring=scoring).fit(train, held_out, show_progress=False)
        assert np.isfinite(detector.score(self.screws.test.images)).all()

    def threshold_rule(self, notebook, name, value):
        return steps.assess_detector("subspace", self.subspace, self.screws, rule=value)

    def counterpart(self, notebook, name, value):
        given = given_functions(self.screws, score=lambda images: images.max(axis=(1, 2, 3)))
        choose_counterpart(steps.assess_given(given), value, show_progress=False)

    def normalization(self, notebook, name, value):
        GanSettings(normalization=value)

    def search_schedule(self, notebook, name, value):
        Search(schedule=value)

    def search_start(self, notebook, name, value):
        Search(start=value)

    def anomaly_map(self, notebook, name, value):
        GanScore(map=value)

    def schedule(self, notebook, name, value):
        TrainingPlan(schedule=value)

    def autoencoder(self, notebook, name, value):
        kind = CAE if notebook.startswith("04") else VAEGAN
        kind(**{name: value})

    architecture = loss = latent = autoencoder

    def by_area(self, map_type="float", grid=None, choice=None):
        assessed = steps.assess_detector("subspace", self.subspace, self.screws)
        return steps.decide_by_area(assessed, map_type=map_type, grid=grid, choice=choice)

    def map_type(self, notebook, name, value):
        self.by_area(map_type=value)

    def connectivity(self, notebook, name, value):
        self.by_area(grid=AreaGrid(range(5, 20, 5), connectivity=value))

    def selection(self, notebook, name, value):
        self.by_area(choice=AreaChoice(value, share=0.5))

    def backbone(self, notebook, name, value):
        BackboneSettings(value)

    def weights(self, notebook, name, value):
        BackboneSettings(weights=value)

    def pooling(self, notebook, name, value):
        makers = steps.feature_makers(self.parameters(notebook, pooling=value), BackboneSettings())
        makers["SVM of images"](0)

    def audited(self, notebook, name, value):
        source = (FOLDER / f"{notebook}.ipynb").read_text(encoding="utf-8")
        named = list(steps.simple_detectors(self.parameters("09_your_images", neighbours=1)))
        if not notebook.startswith("09"):
            (line,) = re.findall(r"candidates = \{(.*?)\}", source)
            named = re.findall(r'\\"([\w ]+)\\": ', line)
        one = steps.assess_detector("subspace", self.subspace, self.screws)
        chosen = steps.choose_audited(dict.fromkeys(named, one), value)
        assert chosen.chosen_by == value

    def dataset(self, notebook, name, value):
        roots = {"mnist": self.idx, "fashion_mnist": self.idx, "idx": self.idx, "csv": self.csv}
        root = str(roots.get(value, self.root))
        if notebook.startswith("07"):
            given = self.parameters(notebook, dataset=value, data_root=root)
            return read_settings(given).load_samples()
        root = {"folder": self.insulators, "idid": self.idid}.get(value, root)
        small = steps.InsulatorSet(2, 2, 2, tied=0.5, loose=0.5)
        options = {"image_size": (48, 48), "insulators": small, "show_progress": False}
        return steps.load_task(value, root, category="screw", **options)

    def method(self, notebook, name, value):
        layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3)]
        layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
        class_maps(keras.Sequential(layers), np.zeros((2, 8, 8, 1), np.float32), method=value)

    def run_explainers(self, notebook, name, value):
        if value not in EXPLAINERS:
            raise ValueError(f"there is no {value}")

    def network(self, notebook, name, value):
        shapes = {"lenet_large": (32, 32, 1), "conv": (48, 16, 3), "mlp": (6,)}
        build_deep_sad_networks(shapes.get(value, (28, 28, 1)), value)


def write_idx(folder):
    """MNIST's files with a few samples of two classes."""
    folder.mkdir()
    images, labels = np.zeros((12, 28, 28), np.uint8), np.arange(12, dtype=np.uint8) % 2
    for prefix in ("train", "t10k"):
        for name, values in ((f"{prefix}-images-idx3", images), (f"{prefix}-labels-idx1", labels)):
            head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
            content = gzip.compress(head + values.tobytes())
            (folder / f"{name}-ubyte.gz").write_bytes(content)


def write_idid(folder):
    """IDID's list and four photographs with a shell of each state."""
    states = ({"No issues": "No issues"}, {"shell": "Broken"}, {"glaze": "Flashover damage"})
    said = []
    for number in range(4):
        file = folder / f"Images/{number}.JPG"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
        shells = [
            {"bbox": [20 * place, 5, 12, 14], "string": 0, "conditions": state}
            for place, state in enumerate(states)
        ]
        said.append({"filename": file.name, "Labels": {"objects": shells}})
    (folder / "labels_v1.2.json").write_text(json.dumps(said))


@pytest.fixture(scope="module")
def receivers(tmp_path_factory):
    return Receivers(tmp_path_factory.mktemp("parameters"))


@pytest.mark.parametrize("notebook, name, value", NAMED)
def test_a_value_that_a_comment_names_is_accepted(receivers, notebook, name, value):
    assert NOTEBOOKS[notebook].parameters[name].read(str(value)) == value
    getattr(receivers, name)(notebook, name, value)


@pytest.mark.parametrize("notebook, name", dict.fromkeys(one[:2] for one in NAMED))
def test_another_value_is_refused(receivers, notebook, name):
    parameter = NOTEBOOKS[notebook].parameters[name]
    if parameter.choices.is_open:
        pytest.skip("the comment leaves the list open")
    other = "something else" if isinstance(parameter.default, str) else 7
    with pytest.raises((ValueError, FileNotFoundError)):
        getattr(receivers, name)(notebook, name, other)


@pytest.mark.parametrize("notebook", NOTEBOOKS.values(), ids=lambda notebook: notebook.name)
def test_a_text_with_a_meaning_has_its_values_in_its_comment(notebook):
    unnamed = [
        parameter.name
        for parameter in notebook.parameters.values()
        if isinstance(parameter.default, str) and parameter.default and not parameter.choices
    ]
    assert set(unnamed) <= FREE


def test_the_presets_hold_values_that_are_accepted():
    notebooks = list(NOTEBOOKS.values())
    for path in sorted((FOLDER / "presets").glob("*.yaml")):
        values = values_for(notebooks, read_preset(path.stem, FOLDER))
        assert len(values) == len(notebooks)


def test_the_full_preset_wants_each_category_that_it_names(tmp_path):
    notebooks, full = list(NOTEBOOKS.values()), read_preset("full", FOLDER)
    for category in ("screw", "hazelnut"):
        train = (f"train/good/{index}" for index in range(3))
        for name in (*train, "test/good/0", "test/crack/0"):
            path = tmp_path / category / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    options = {"folders": {"data_root": tmp_path}}
    read = [one.get("category") for one in values_for(notebooks, full, **options)]
    assert read == ["screw", "hazelnut", "screw", "screw", "screw", None, None, "screw", "screw"]
    shutil.rmtree(tmp_path / "hazelnut")
    with pytest.raises(UsageError, match="02_hazelnut: no category 'hazelnut'.* holds screw"):
        values_for(notebooks, full, **options)
    options = {"folders": {"data_root": tmp_path / "screw"}}
    assert values_for(notebooks, full, **options)[1]["category"] == "screw"
