"""Pictures of the notebook on Deep SAD: samples, trainings, extremes, where scores come from."""

import numpy as np
from matplotlib.figure import Figure

from adhelpers._shared.arrays import Images, Integers
from adhelpers._shared.stages import stage
from adhelpers.data import SemiSupervisedCategory
from adhelpers.detectors import DeepSAD
from adhelpers.reports import image_grid, reconstruction_grid

from .deep_sad import SampleAssessment
from .training_figures import loss_figure

GRID = 8


def sample_figure(category: SemiSupervisedCategory, count: int = GRID) -> Figure:
    """Training samples of each kind: unlabelled, known normal, known anomalies.

    Parameters
    ----------
    category : SemiSupervisedCategory
        Of images.
    count : int
        Maximum number of each kind.
    """
    told = {0: "unlabelled", 1: "known normal", -1: "known anomaly"}
    chosen = np.concatenate([np.flatnonzero(category.known == one)[:count] for one in told])
    return image_grid(
        category.train.images[chosen],
        [told[int(one)] for one in category.known[chosen]],
        columns=8,
        title="Training samples",
    )


def deep_sad_figures(detector: DeepSAD, category: SemiSupervisedCategory) -> dict[str, Figure]:
    """The losses of both trainings, and what the pretrained autoencoder makes of images, by name.

    Parameters
    ----------
    detector : DeepSAD
        Fitted.
    category : SemiSupervisedCategory
        Its first validation samples are reconstructed, or training ones where there are none.
    """
    figures = {}
    if detector.pretrain:
        figures["training-autoencoder"] = loss_figure(detector.pretraining_history, "Autoencoder")
    figures["training"] = loss_figure(detector.history, "Deep SAD")
    held_out = category.validation if len(category.validation) else category.train
    if detector.pretrain and held_out.images.ndim == 4:
        figures["autoencoder"] = _autoencoder_figure(detector, held_out.images[:8])
    return figures


def _autoencoder_figure(detector: DeepSAD, images: Images) -> Figure:
    """Images beside what the pretrained autoencoder makes of them."""
    again = detector.reconstruct(images)
    return reconstruction_grid(
        images,
        again,
        np.abs(images - again).mean(axis=-1),
        title="The pretrained autoencoder",
        names=("sample", "reconstruction", "difference"),
    )


def extremes(assessment: SampleAssessment, count: int = GRID) -> dict[str, Integers]:
    """Which test samples have the lowest and the highest scores, over all and among normal ones.

    Parameters
    ----------
    assessment : SampleAssessment
    count : int

    Returns
    -------
    dict of str to ndarray of int
        ``all_low``, ``all_high``, ``normals_low``, ``normals_high``: indices of at most ``count``
        test samples, the lowest or the highest first.
    """
    order = np.argsort(assessment.scores, kind="stable")
    normal = order[assessment.category.test.labels[order] == 0]
    return {
        "all_low": order[:count],
        "all_high": order[::-1][:count],
        "normals_low": normal[:count],
        "normals_high": normal[::-1][:count],
    }


def extreme_grids(assessment: SampleAssessment, count: int = GRID) -> dict[str, Figure]:
    """The pictures of `extremes`, each with its class and score; none where samples are vectors."""
    titles = {
        "all_low": "Lowest scores",
        "all_high": "Highest scores",
        "normals_low": "Normal samples, lowest scores",
        "normals_high": "Normal samples, highest scores",
    }
    test, scores = assessment.category.test, assessment.scores
    if test.images.ndim != 4:
        return {}
    return {
        name: image_grid(
            test.images[chosen],
            [f"{test.types[index]} {scores[index]:.2g}" for index in chosen],
            columns=8,
            title=titles[name],
        )
        for name, chosen in extremes(assessment, count).items()
    }


def attribution_figure(assessment: SampleAssessment, count: int = 4) -> Figure:
    """Where the score comes from: the anomalies and the normal samples with the highest scores.

    Parameters
    ----------
    assessment : SampleAssessment
        Of images.
    count : int
        Of each.
    """
    test, scores = assessment.category.test, assessment.scores
    order = np.argsort(-scores, kind="stable")
    chosen = np.concatenate([order[test.labels[order] == label][:count] for label in (1, 0)])
    return explain_samples(assessment, chosen)


def explain_samples(assessment: SampleAssessment, chosen: Integers) -> Figure:
    """Test samples of images beside their counterparts and where the scores come from."""
    test, scores, detector = assessment.category.test, assessment.scores, assessment.detector
    images = test.images[chosen]
    with stage("attributions"):
        counterparts, maps = detector.counterpart(images), detector.anomaly_map(images)
    return reconstruction_grid(
        images,
        counterparts,
        maps,
        test.types[chosen],
        scores[chosen],
        None if test.masks is None else test.masks[chosen],
        title="Where the score comes from",
        names=("sample", "most similar normal one", "attribution"),
    )
