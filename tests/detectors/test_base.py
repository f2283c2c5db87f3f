import pickle

import numpy as np
import pytest

from adhelpers._shared.engine import _packed as spread_pack
from adhelpers.detectors import VAEGAN, ResidualScore, Subspace


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    good = np.random.default_rng(0).uniform(size=(6, 32, 32, 1)).astype("float32")
    folder = tmp_path_factory.mktemp("models") / "subspace"
    Subspace(n_components=2).fit(good[:4], good[4:]).save(folder)
    return folder


def test_another_kind_of_detector_is_refused(stored):
    with pytest.raises(ValueError, match="holds a Subspace, not a VAEGAN"):
        VAEGAN.load(stored)


def test_an_unfitted_detector_says_so(tmp_path):
    with pytest.raises(RuntimeError, match="not fitted"):
        Subspace().score(np.zeros((1, 32, 32, 1)))
    with pytest.raises(RuntimeError, match="not fitted"):
        Subspace().save(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_other_scoring_is_taken_where_training_does_not_depend_on_it(stored):
    with pytest.raises(
        ValueError, match="scoring cannot be changed in a trained Subspace; what can is nothing"
    ):
        Subspace.load(stored, scoring=ResidualScore("max"))
    assert Subspace(3).scoring_arguments() == {}
    assert VAEGAN().scoring_arguments() == {"scoring": ResidualScore()}


def test_workers_get_a_stored_detector_as_its_folder_and_score_to_the_bit(stored):
    images = np.random.default_rng(1).uniform(size=(5, 32, 32, 1)).astype("float32")
    detector = Subspace.load(stored)
    assert spread_pack(detector.score) is not None
    assert len(spread_pack(detector.score)) < 500
    again = pickle.loads(spread_pack(detector.score))
    assert again.__self__ is not detector and (again(images) == detector.score(images)).all()
    # What is not stored, such as a detector of another package, stays here.
    loose = Subspace(n_components=2).fit(images[:3], images[3:])
    with pytest.raises(TypeError, match="is not stored"):
        loose.sent_as()
    assert spread_pack(loose.score) is None
