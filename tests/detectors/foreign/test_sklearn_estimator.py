import numpy as np
import pytest
from pyod.models.ecod import ECOD
from pyod.models.knn import KNN
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, OneClassSVM

from adhelpers.detectors import Preprocessing, wrap_detector

SHAPE = (4, 4, 1)


@pytest.fixture(scope="module")
def good():
    return np.random.default_rng(0).normal(0.5, 0.05, (80, *SHAPE)).clip(0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def tested():
    """Twenty good images, and twenty with pixels far off."""
    random = np.random.default_rng(1)
    images = random.normal(0.5, 0.05, (40, *SHAPE)).clip(0, 1).astype(np.float32)
    images[20:, 1, 1:3] = 1
    return images, np.repeat([0, 1], 20)


class OnlyDecision:
    """An estimator of somebody else's that says nothing about its direction."""

    def decision_function(self, rows):
        return -np.abs(rows - 0.5).max(axis=1)


@pytest.mark.parametrize(
    "estimator",
    [
        OneClassSVM(gamma=2.0),
        IsolationForest(random_state=0, n_estimators=50),
        LocalOutlierFactor(novelty=True),
        EllipticEnvelope(random_state=0),
        KernelDensity(bandwidth=0.2),
        GaussianMixture(random_state=0),
        PCA(3),
        KNN(),
        ECOD(),
        make_pipeline(StandardScaler(), OneClassSVM(gamma=0.02)),
        make_pipeline(StandardScaler(), EllipticEnvelope(random_state=0)),
        make_pipeline(StandardScaler(), KNN()),
        GridSearchCV(KernelDensity(), {"bandwidth": [0.1, 0.2]}, cv=2),
    ],
    ids=lambda one: "+".join(
        type(step).__name__ for step in getattr(one, "named_steps", {"": one}).values()
    ),
)
def test_higher_is_more_anomalous_whatever_the_library_says(estimator, good, tested):
    """With the sign of the library's own these would have an AUROC near 0."""
    images, labels = tested
    detector = wrap_detector(estimator.fit(good.reshape(len(good), -1)))
    assert roc_auc_score(labels, detector.score(images)) > 0.9
    assert not detector.has_map


@pytest.mark.parametrize("classifier", [SVC(), LinearSVC(), LogisticRegression()])
def test_a_classifier_of_0_and_1_points_at_the_anomalous_already(classifier, tested):
    images, labels = tested
    detector = wrap_detector(classifier.fit(images.reshape(40, -1), labels))
    assert roc_auc_score(labels, detector.score(images)) > 0.9
    assert "higher is more anomalous there" in detector.facts()[0]


def test_classes_of_other_names_have_no_direction(tested):
    images, labels = tested
    names = np.where(labels, "bad", "good")
    classifier = SVC().fit(images.reshape(40, -1), names)
    with pytest.raises(ValueError, match="say it with higher_is_anomalous"):
        wrap_detector(classifier)
    # "bad" comes before "good", so that the classifier points at the good ones.
    detector = wrap_detector(classifier, higher_is_anomalous=False)
    assert roc_auc_score(labels, detector.score(images)) > 0.9


def test_a_direction_that_nothing_tells_is_asked_for(tested):
    images, labels = tested
    with pytest.raises(ValueError, match="OnlyDecision: nothing tells whether its decision_funct"):
        wrap_detector(OnlyDecision())
    detector = wrap_detector(OnlyDecision(), higher_is_anomalous=False)
    assert roc_auc_score(labels, detector.score(images)) > 0.9


def test_scores_that_depend_on_the_other_images_are_taken_alone(good, tested):
    """PyOD's ECOD ranks new images among each other."""
    images, _ = tested
    detector = wrap_detector(ECOD().fit(good.reshape(len(good), -1)))
    together = detector.score(images)
    assert np.allclose(together[3], detector.score(images[3:4])[0])
    assert "each image is run alone" in detector.facts()[-1]


def test_features_take_the_place_of_pixels(good, tested):
    images, labels = tested

    def features(given):
        return np.stack([given.max(axis=(1, 2, 3)), given.mean(axis=(1, 2, 3))], axis=1)

    detector = wrap_detector(KernelDensity(bandwidth=0.05).fit(features(good)), features=features)
    assert roc_auc_score(labels, detector.score(images)) > 0.9


def test_images_of_another_size_are_refused_or_resized(good):
    estimator = OneClassSVM().fit(good.reshape(len(good), -1))
    larger = np.full((2, 8, 8, 1), 0.5, np.float32)
    with pytest.raises(ValueError, match="images of 8 x 8 pixels.*expecting 16 features"):
        wrap_detector(estimator).score(larger)
    sized = wrap_detector(estimator, preprocessing=Preprocessing(size=(4, 4), channels=1))
    assert sized.score(larger).shape == (2,)


def test_a_size_that_cannot_be_guessed_is_asked_for():
    rows = np.random.default_rng(0).uniform(size=(20, 24))
    estimator = OneClassSVM().fit(rows)
    with pytest.raises(ValueError, match="24 numbers an image, which is no square image"):
        wrap_detector(estimator)
    images = rows.reshape(20, 4, 6, 1).astype(np.float32)
    assert wrap_detector(estimator, examples=images).score(images).shape == (20,)
