"""A fitted detector is found again, and only for the same parameters and data."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from adhelpers._shared.stages import forget_stages, stage_seconds
from adhelpers.detectors import VAEGAN, fit_or_load
from adhelpers.detectors.base import Model
from adhelpers.detectors.stored import stored_folder
from adhelpers.training import TrainingPlan


def images(count, seed=0):
    return np.random.default_rng(seed).uniform(size=(count, 16, 16, 1)).astype("float32")


def small(**changes):
    plan = TrainingPlan(epochs=3, batch_size=4, schedule="cosine")
    return VAEGAN("compact", width=0.1, latent_dim=4, plan=plan, **changes)


def test_a_fitted_detector_is_found_again_and_not_for_other_data(tmp_path):
    sets = SimpleNamespace(
        name="thing",
        fingerprint="a",
        train=SimpleNamespace(images=images(8)),
        validation=SimpleNamespace(images=images(4, seed=1)),
    )
    first = fit_or_load(small(), sets, tmp_path, show_progress=False)
    stored = sorted((tmp_path / "thing" / "vae_gan").iterdir())
    assert len(stored) == 1 and not list(tmp_path.rglob("*checkpoint*"))
    again = fit_or_load(small(), sets, tmp_path, show_progress=False)
    np.testing.assert_array_equal(again.score(sets.train.images), first.score(sets.train.images))
    assert again.history.equals(first.history.astype(again.history.dtypes)) or np.allclose(
        again.history, first.history
    )
    sets.fingerprint = "b"
    fit_or_load(small(), sets, tmp_path, show_progress=False)
    fit_or_load(small(seed=1), sets, tmp_path, show_progress=False)
    assert len(list((tmp_path / "thing" / "vae_gan").iterdir())) == 3


class Level(Model):
    """The mean of a data set; it counts how often it was fitted, and with what."""

    name, title = "level", "mean level"
    scoring_parameters = ("power",)
    fits: list = []

    def __init__(self, gain=1.0, *, power=1.0):
        super().__init__()
        self.gain, self.power = gain, power

    def fit_on(self, data, *, checkpoint, show_progress, **options):
        self.fits.append({"checkpoint": checkpoint, "show_progress": show_progress, **options})
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_text("how far it has come")
        if data.values is None:
            raise KeyboardInterrupt
        self.image_shape, self.mean = (1, 1, 1), float(np.mean(data.values)) * self.gain
        return self

    def _write(self, folder):
        (folder / "mean.json").write_text(json.dumps(self.mean))
        return {}

    def _read(self, files, manifest):
        self.mean = json.loads((files / "mean.json").read_text())


class Other(Level):
    """Of the same name and parameters."""


@pytest.fixture(autouse=True)
def no_fits():
    Level.fits.clear()


def data(**changed):
    return SimpleNamespace(**{"name": "thing", "fingerprint": "a", "values": [1.0, 2.0]} | changed)


def found(model, where, sets=None, **options):
    return fit_or_load(model, sets or data(), where, show_progress=False, **options)


def test_a_model_is_fitted_once_and_then_found(tmp_path):
    first = found(Level(), tmp_path, labels=[1])
    again = found(Level(), tmp_path, labels=[1])
    assert first.mean == again.mean == 1.5 and type(again) is Level
    folder = stored_folder(Level(), data(), tmp_path)
    assert first.folder == again.folder == folder
    assert folder.parent == tmp_path / "thing" / "level" and len(folder.name) == 12
    # The checkpoint lies beside the folder and is gone afterwards.
    [fit] = Level.fits
    assert fit == {
        "checkpoint": folder.parent / f"{folder.name}.checkpoint.npz",
        "show_progress": False,
        "labels": [1],
    }
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_progress_is_shown_unless_it_is_not_wanted(tmp_path):
    fit_or_load(Level(), data(), str(tmp_path))
    assert Level.fits[0]["show_progress"] is True


def test_the_folder_follows_from_all_that_training_depends_on():
    places = {
        stored_folder(model, sets, models)
        for model in (Level(), Level(2.0), Other())
        for sets in (data(), data(fingerprint="b"), data(name="b"))
        for models in ("models", "others")
    }
    assert len(places) == 3 * 3 * 2
    for same in (Level(1.0), Level(power=3.0)):
        assert stored_folder(same, data(values=[]), "models") in places
    # A file keeps the order of names as it was given.
    both = Level({"a": 1, "b": 2}), Level({"b": 2, "a": 1})
    assert len({stored_folder(one, data(), "models") for one in both}) == 1


def test_another_format_has_another_folder(monkeypatch):
    """So that a newer version of the package trains again instead of refusing what it finds."""
    before = stored_folder(Level(), data(), "models")
    monkeypatch.setattr("adhelpers.detectors.stored.FORMAT", 999)
    assert stored_folder(Level(), data(), "models") != before


def test_the_scoring_asked_for_counts_and_not_the_one_stored(tmp_path):
    found(Level(power=1.0), tmp_path)
    again = found(Level(power=3.0), tmp_path)
    assert len(Level.fits) == 1 and again.power == 3.0 and again.gain == 1.0


def test_an_interrupted_training_keeps_its_checkpoint(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        found(Level(), tmp_path, data(values=None))
    [left] = (tmp_path / "thing" / "level").iterdir()
    assert left == Level.fits[0]["checkpoint"] and left.read_text() == "how far it has come"
    assert found(Level(), tmp_path).mean == 1.5 and not left.exists()


def test_a_damaged_model_is_refused_and_neither_used_nor_replaced(tmp_path):
    """What is stored with it, such as explanations, may be all that is left of a long run."""
    folder = found(Level(), tmp_path).folder
    (folder / "mean.json").write_text("7")
    with pytest.raises(ValueError, match=f"{folder}.* train again"):
        found(Level(), tmp_path)
    assert len(Level.fits) == 1 and (folder / "mean.json").read_text() == "7"


@pytest.mark.parametrize("title, stage", [("mean level", "mean level"), ("", "level")])
def test_the_stage_has_the_title_of_the_model(tmp_path, monkeypatch, title, stage):
    monkeypatch.setattr(Level, "title", title)
    forget_stages()
    found(Level(), tmp_path)
    assert list(stage_seconds()) == [f"{stage}: training"]
