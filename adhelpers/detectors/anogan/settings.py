"""The parts of AnoGAN's constructor: the GAN, the training of its encoder, the score."""

from dataclasses import dataclass

from adhelpers._shared.checks import check_choice

SCORES = ("anogan", "residual", "feature", "discriminator", "smooth_max")
MAPS = ("difference", "standardized")
_NORMALIZATIONS = ("batch", "none")


@dataclass(frozen=True)
class GanSettings:
    """Size of the networks, and what stabilises their training.

    Parameters
    ----------
    width : float
        Scales the number of filters; 1 is the published size.
    latent_dim : int
        Length of the noise vector.
    normalization : {"batch", "none"}
        Of the discriminator.
    dropout : float
        Of the discriminator, in [0, 1).
    average : float
        In [0, 1): the generator that is used is a running mean of the trained one, which keeps this
        share of itself in a step (Yazici et al., "The unusual effectiveness of averaging in GAN
        training", ICLR 2019); 0 uses the trained one itself.
    gradient_penalty : float
        Weight of R1, see `gradient_penalty`; 0 as published.
    reconstruction : float
        Weight of a second task of the generator, which an encoder learns with it: to make each
        training image from its code (mean absolute difference of grey values in [-1, 1], codes with
        noise and kept near that of the noise vector, as in Larsen et al., "Autoencoding beyond
        pixels using a learned similarity metric", ICML 2016). A generator that has only the
        discriminator to learn from needs thousands of steps for as sharp samples. Needs an encoder;
        0 as published.
    discriminator_rate : float, optional
        Learning rate of the discriminator, if not that of the generator (two rates: Heusel et al.,
        "GANs trained by a two time-scale update rule", NeurIPS 2017).

    Raises
    ------
    ValueError
        If a value is out of range.

    Notes
    -----
    What the options did on MVTec *hazelnut* at 64 x 64 (22 training images, any rotation and flip,
    width 0.5, 900 steps, one seed each): the mean difference between 5 validation images and their
    nearest generated image, in grey values of 1, and the difference between samples as a share of
    that between the (augmented) training images.

    ====================================================  ==========  =========
    published (rates 1e-4, batch normalisation)               0.074      0.41
    rates 4e-4, running mean                                  0.025      0.81
    the same with R1 (the defaults)                           0.017      1.06
    R1 without batch normalisation                            0.022      0.23
    ... with two rates, 2e-4 and 8e-4                         0.022      1.04
    ... without the running mean                              0.045      0.30
    ====================================================  ==========  =========

    So higher rates, the running mean and R1 helped, and two rates prevented the collapse that came
    without normalisation.

    Examples
    --------
    >>> GanSettings(width=0.5).latent_dim
    100
    """

    width: float = 1.0
    latent_dim: int = 100
    normalization: str = "batch"
    dropout: float = 0.3
    average: float = 0.99
    gradient_penalty: float = 1.0
    reconstruction: float = 0.0
    discriminator_rate: float | None = None

    def __post_init__(self) -> None:
        check_choice("normalization", self.normalization, _NORMALIZATIONS)
        for name in ("width", "latent_dim", "discriminator_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        for name in ("dropout", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        for name in ("gradient_penalty", "reconstruction"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")


@dataclass(frozen=True)
class EncoderPlan:
    """How the encoder is trained after the generator; batches and checkpoints are as in its plan.

    The loss is that of the search, with its weight of the features.

    Parameters
    ----------
    epochs : int
        Passes over the training images.
    learning_rate : float
        Initial learning rate of Adam; it falls to 0 along a cosine.

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> EncoderPlan(epochs=40)
    EncoderPlan(epochs=40, learning_rate=0.0005)
    """

    epochs: int = 100
    learning_rate: float = 5e-4

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(
                f"epochs of the encoder must be 1 or more, not {self.epochs}; encoder=None trains "
                "none"
            )
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")


@dataclass(frozen=True)
class GanScore:
    """What of the search is the score, and what the anomaly map shows.

    Parameters
    ----------
    score : {"anogan", "residual", "feature", "discriminator", "smooth_max"}
        - ``"anogan"``: A(x), see `Search`.
        - ``"residual"``, ``"feature"``: its two sums alone.
        - ``"discriminator"``: minus the discriminator's logit of the image, above 0 where it takes
          the image for a sample; needs no search.
        - ``"smooth_max"``: the maximum of the anomaly map, as other detectors score.
    smoothing : float
        Standard deviation of the Gaussian over the anomaly map in pixels; 0 does not smooth.
    map : {"difference", "standardized"}
        - ``"difference"``: the absolute difference from the counterpart.
        - ``"standardized"``: by how many standard deviations it is above what it is at the same
          pixel in the good training images, whose counterparts the encoder gives. Where objects
          lie alike, what the generator never gets right, such as an edge, is no longer called
          anomalous. Needs an encoder.

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> GanScore("smooth_max", smoothing=1.0).map
    'difference'
    """

    score: str = "anogan"
    smoothing: float = 2.0
    map: str = "difference"

    def __post_init__(self) -> None:
        check_choice("score", self.score, SCORES)
        check_choice("map", self.map, MAPS)
        if not self.smoothing >= 0:
            raise ValueError(f"smoothing must be 0 or more pixels, not {self.smoothing}")
