"""AnoGAN: a generator learns what good images look like; what it cannot make is anomalous."""

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from adhelpers._shared.arrays import Floats, Images, Integers, Maps, Scores
from adhelpers._shared.batches import Batched
from adhelpers._shared.checks import check_choice, checked_images
from adhelpers._shared.progress import progress
from adhelpers.training import (
    PRECISIONS,
    Augmentation,
    TrainingPlan,
    adam,
    remove_checkpoint,
    train,
)

from ..base import Detector
from ..manifest import StoredFiles
from ..registry import register
from ..residuals import smooth
from ..weights import load_arrays, load_weights, save_weights
from .latent_search import Found, LatentSearch, Search
from .networks import (
    build_dcgan_discriminator,
    build_dcgan_generator,
    build_latent_encoder,
    check_sides,
)
from .settings import SCORES, EncoderPlan, GanScore, GanSettings
from .training import EncoderTraining, GanTraining, spread, unfused_layers

# A pass over a few dozen images is too short an epoch to record samples and write checkpoints
# after.
_LEAST_BATCHES = 16
_FRAMES, _FILMED, _COMPARED = 8, 8, 64
# Measured on trainings that had and had not collapsed; see `AnoGAN.collapse`.
_LEAST_DIVERSITY, _LEAST_NEAREST = 0.5, 0.2
_REMEMBERED = 8192
# A pixel at which all training images differ alike must not make every difference infinite.
_LEAST_DEVIATION = 0.01
_ADAM_MOMENTUM = 0.5
_BATCH = 64
_USUAL = "usual_difference.npz"
# Streams of noise that follow from the seed.
_STARTS, _FILM, _SAMPLES = 0, 1, 2


@register
class AnoGAN(Detector):
    """A GAN of the good images; an image is scored by how near the generator gets to it.

    Schlegl et al., "Unsupervised anomaly detection with generative adversarial networks to guide
    marker discovery", IPMI 2017: the noise is searched for from which the generator makes the most
    similar image. With an encoder and ``Search(start="encoder", steps=0)`` it is f-AnoGAN, Schlegl
    et al., Medical Image Analysis 2019. Networks of Radford, Metz and Chintala, ICLR 2016.

    Parameters
    ----------
    gan : GanSettings, optional
    plan : TrainingPlan, optional
        Of generator and discriminator, see `default_plan`. The training images are repeated where
        there are fewer than 16 batches of them. Nothing is monitored.
    encoder : EncoderPlan, optional
        How an encoder from images to noise is trained afterwards; None trains none, as in the
        published AnoGAN.
    augmentation : Augmentation, optional
        None changes nothing. The generator learns these changes.
    search : Search, optional
        Of the noise. The random starts follow from ``seed`` and are the same for every image. This
        and ``scoring`` can be changed after training.
    scoring : GanScore, optional
    precision : {"float32", "bfloat16"}
        Of the networks, in training and search; weights, losses and scores stay float32.
    seed : int

    Attributes
    ----------
    history, encoder_history : pandas.DataFrame
        One row an epoch, see `adhelpers.training.train`; ``val_diversity`` is that of a few samples
        of fixed noise. The second is empty without an encoder.
    film : ndarray of float32, shape (frames, samples, h, w, c)
        Samples of fixed noise at the epochs ``film_epochs``.
    diversity : dict of str to float
        How different 64 samples are from each other (``samples``, ``samples_nearest``), and as many
        augmented training images (``data``, ``data_nearest``), see `spread`.
    networks : dict of str to keras.Model
        ``generator``, ``discriminator``, and with the options for them ``average`` and ``encoder``.

    Raises
    ------
    ValueError
        If a parameter is out of range; in `fit`, if a side of the images is no power of two from 32
        to 256.

    Warns
    -----
    UserWarning
        If the generator has collapsed, see `collapse`.

    Examples
    --------
    >>> good = np.random.default_rng(0).uniform(size=(8, 32, 32, 1)).astype("float32")
    >>> detector = AnoGAN(
    ...     gan=GanSettings(width=0.05, latent_dim=8),
    ...     plan=TrainingPlan(epochs=1, batch_size=4),
    ...     encoder=EncoderPlan(epochs=1),
    ...     search=Search(start="encoder", steps=0),
    ... )
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # after one epoch all samples are grey
    ...     detector = detector.fit(good[:4], good[4:], show_progress=False)
    >>> detector.score(good).shape, detector.counterpart(good).shape
    ((8,), (8, 32, 32, 1))
    """

    name = "anogan"
    title = "AnoGAN"
    counterpart_name = "nearest normal image"
    scoring_parameters = ("search", "scoring")

    def __init__(
        self,
        *,
        gan: GanSettings | None = None,
        plan: TrainingPlan | None = None,
        encoder: EncoderPlan | None = None,
        augmentation: Augmentation | None = None,
        search: Search | None = None,
        scoring: GanScore | None = None,
        precision: str = "float32",
        seed: int = 0,
    ) -> None:
        check_choice("precision", precision, PRECISIONS)
        super().__init__()
        self.gan = gan or GanSettings()
        self.plan = plan or self.default_plan()
        self.encoder = encoder
        self.augmentation = augmentation or Augmentation()
        self.search = search or Search()
        self.scoring = scoring or GanScore()
        self.precision, self.seed = precision, seed
        if self.search.start == "encoder" and encoder is None:
            raise ValueError(
                'start="encoder" needs an encoder, and with encoder=None none is trained: give '
                'encoder=EncoderPlan() and train again, or take start="random"'
            )
        if self.gan.reconstruction and encoder is None:
            raise ValueError(
                "reconstruction needs an encoder, and with encoder=None none is trained: give "
                "encoder=EncoderPlan(), or take reconstruction=0"
            )
        if self.scoring.map == "standardized" and encoder is None:
            raise ValueError(
                'map="standardized" needs an encoder, and with encoder=None none is trained: give '
                'encoder=EncoderPlan() and train again, or take map="difference"'
            )
        self.history = self.encoder_history = pd.DataFrame()
        self.film: Floats | None = None
        self.film_epochs: list[int] = []
        self.diversity: dict[str, float] = {}

    @staticmethod
    def default_plan() -> TrainingPlan:
        """The plan of generator and discriminator, to change single fields of it."""
        return TrainingPlan(epochs=200, learning_rate=4e-4, checkpoint_every=10)

    def _build(self) -> None:
        check_sides(self._shape)
        gan = self.gan
        shared: dict[str, Any] = {"width": gan.width, "policy": PRECISIONS[self.precision]}
        self.networks = {
            "generator": build_dcgan_generator(self._shape, gan.latent_dim, **shared),
            "discriminator": build_dcgan_discriminator(
                self._shape, dropout=gan.dropout, normalization=gan.normalization, **shared
            ),
        }
        if gan.average:
            average = build_dcgan_generator(self._shape, gan.latent_dim, **shared)
            average.set_weights(self.networks["generator"].get_weights())
            self.networks["average"] = average
        if self.encoder is not None:
            self.networks["encoder"] = build_latent_encoder(self._shape, gan.latent_dim, **shared)
        self._generator = self.networks.get("average", self.networks["generator"])
        self._search = LatentSearch(self._generator, self.networks["discriminator"], self.search)
        self._batched: dict[str, Batched] = {}
        # Mean and standard deviation of the training images' differences at each pixel.
        self._usual = np.zeros((2, *self._shape[:2]), np.float32)
        self._found: OrderedDict[bytes, tuple[Any, ...]] = OrderedDict()

    @property
    def _shape(self) -> tuple[int, ...]:
        self._require_fitted()
        return self.image_shape or ()

    def fit(
        self,
        train_images: Images,
        validation: Images,
        *,
        checkpoint: str | Path | None = None,
        show_progress: bool = True,
        tensorboard: str | Path | None = None,
    ) -> Self:
        """Train the GAN and then the encoder; see `Detector.fit`.

        ``tensorboard`` is a folder for the losses of the GAN.
        """
        train_images = checked_images(train_images, name="train")
        validation = checked_images(validation, train_images.shape[1:], name="validation")
        check_sides(train_images.shape[1:])
        keras.utils.set_random_seed(self.seed)
        self.image_shape = train_images.shape[1:]
        self._build()
        batches = len(train_images) / min(self.plan.batch_size, len(train_images))
        repeated = np.tile(train_images, (max(1, round(_LEAST_BATCHES / batches)), 1, 1, 1))
        training = self._gan_training()
        with unfused_layers():
            self.history = train(
                training,
                repeated,
                validation,
                self.plan,
                seed=self.seed,
                checkpoint=checkpoint,
                show_progress=show_progress,
                description="GAN",
                tensorboard=tensorboard,
            )
            self.film, self.film_epochs = training.film.frames(), training.film.epochs
            if self.encoder is not None:
                self._train_encoder(self.encoder, repeated, validation, checkpoint, show_progress)
                self._usual = self._usual_difference(train_images)
        self._measure_diversity(train_images)
        if self.collapse is not None:
            warnings.warn(self.collapse, stacklevel=2)
        return self

    def _adam(self, network: str, rate: float | None) -> keras.optimizers.Optimizer:
        return adam(rate, self.networks[network], beta_1=_ADAM_MOMENTUM)

    def _gan_training(self) -> GanTraining:
        rate, gan = self.plan.learning_rate, self.gan
        networks, rates = dict(self.networks), {"generator": rate}
        rates["discriminator"] = gan.discriminator_rate or rate
        if gan.reconstruction:
            rates["encoder"] = rate
        else:
            networks.pop("encoder", None)
        return GanTraining(
            networks,
            {name: self._adam(name, one) for name, one in rates.items()},
            augmentation=self.augmentation,
            penalty=gan.gradient_penalty,
            average=gan.average,
            reconstruction=gan.reconstruction,
            film_epochs=np.unique(np.geomspace(1, self.plan.epochs, _FRAMES).round()).tolist(),
            film_noise=self._noise(_FILMED, _FILM),
        )

    def _train_encoder(
        self,
        encoder: EncoderPlan,
        images: Images,
        validation: Images,
        checkpoint: str | Path | None,
        show_progress: bool,
    ) -> None:
        own = None if checkpoint is None else Path(checkpoint).with_suffix(".encoder.npz")
        plan = TrainingPlan(
            encoder.epochs,
            self.plan.batch_size,
            encoder.learning_rate,
            schedule="cosine",
            checkpoint_every=self.plan.checkpoint_every,
        )
        self.encoder_history = train(
            EncoderTraining(
                self.networks["encoder"],
                self._adam("encoder", encoder.learning_rate),
                self._search,
                self.augmentation,
            ),
            images,
            validation,
            plan,
            seed=self.seed,
            checkpoint=own,
            show_progress=show_progress,
            description="encoder",
        )
        remove_checkpoint(own)

    def _noise(self, count: int, stream: int) -> Floats:
        random = np.random.default_rng((self.seed, stream))
        return random.standard_normal((count, self.gan.latent_dim)).astype(np.float32)

    def _measure_diversity(self, train_images: Images) -> None:
        shown = tf.constant(np.resize(train_images, (_COMPARED, *self._shape)))
        data = self.augmentation.apply(shown, tf.constant((self.seed, 0), tf.int32)).numpy()
        self.diversity = {}
        for name, images in (("samples", self.samples(_COMPARED)), ("data", data)):
            self.diversity[name], self.diversity[f"{name}_nearest"] = spread(images)

    @property
    def collapse(self) -> str | None:
        """A sentence on how the generator has collapsed; None where its samples vary enough.

        It has collapsed where its samples differ from each other by less than half of what
        (augmented) training images do, or where the nearest other sample is less than a fifth as
        far away as among training images, so that a few images are repeated.
        """
        self._require_fitted()
        measured = self.diversity
        differing = measured["samples"] / max(measured["data"], 1e-12)
        nearest = measured["samples_nearest"] / max(measured["data_nearest"], 1e-12)
        if differing >= _LEAST_DIVERSITY and nearest >= _LEAST_NEAREST:
            return None
        return (
            "The generator has collapsed: its samples differ from each other by "
            f"{100 * differing:.0f} % of what the good images do, and from the most similar one by "
            f"{100 * nearest:.0f} % (at least {100 * _LEAST_DIVERSITY:.0f} and "
            f"{100 * _LEAST_NEAREST:.0f} % are expected). Good images that it cannot make will be "
            "called anomalous. More epochs or a lower discriminator_rate may help."
        )

    def samples(self, count: int) -> Images:
        """The generator's images of ``count`` draws of noise, the same ones at each call."""
        self._require_fitted()
        return self._pictures(self._noise(count, _SAMPLES))

    def _pictures(self, noise: Floats) -> Images:
        return (self._search.generate(noise) + 1) * np.float32(0.5)

    def _in_batches(self, function: Callable[..., tf.Tensor], *arrays: Floats) -> Floats:
        return self._batched.setdefault(function.__name__, Batched(function, _BATCH))(*arrays)

    def _encoded(self, images: tf.Tensor) -> tf.Tensor:
        return self.networks["encoder"](images, training=False)

    def _logit(self, images: tf.Tensor) -> tf.Tensor:
        return self.networks["discriminator"](images, training=False)[0][:, 0]

    def _difference(self, images: tf.Tensor, counterparts: tf.Tensor) -> tf.Tensor:
        difference = tf.reduce_mean(tf.abs(images - counterparts), axis=-1)
        smoothed = smooth(difference, self.scoring.smoothing)
        if self.scoring.map == "difference":
            return smoothed
        mean, deviation = tf.split(smooth(tf.constant(self._usual), self.scoring.smoothing), 2)
        return tf.nn.relu(smoothed - mean) / (deviation + _LEAST_DEVIATION)

    def _usual_difference(self, train_images: Images) -> Floats:
        """Mean and deviation of the plain difference over images, by one pass of the encoder."""
        counterparts = self._pictures(self._in_batches(self._encoded, 2 * train_images - 1))
        differences = np.abs(train_images - counterparts).mean(axis=-1)
        return np.stack([differences.mean(axis=0), differences.std(axis=0)])

    def _starts(self, images: Images) -> Floats:
        """Starts of the searches for images in [-1, 1]: float32 (n, restarts, latent_dim)."""
        starts = np.tile(self._noise(self.search.restarts, _STARTS), (len(images), 1, 1))
        if self.search.start == "encoder":
            starts[:, 0] = self._in_batches(self._encoded, images)
        return starts

    def _find(self, images: Images, show_progress: bool = False) -> Found:
        """The results of the search for checked images in [0, 1]; each is searched for once."""
        keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        new = {key: index for index, key in enumerate(keys) if key not in self._found}
        found = {key: self._found[key] for key in keys if key in self._found}
        if new:
            result = self._searched(2 * images[list(new.values())] - 1, show_progress)
            columns = (result.noise, result.residual, result.feature, result.steps)
            found |= dict(zip(new, zip(*columns, strict=True), strict=True))
            self._found.update((key, found[key]) for key in new)
        while len(self._found) > _REMEMBERED:
            self._found.popitem(last=False)
        return Found(*(np.array(part) for part in zip(*(found[key] for key in keys), strict=True)))

    def _searched(self, images: Images, show_progress: bool) -> Found:
        """The search for images in [-1, 1], with a progress bar."""
        starts = self._starts(images)
        with progress(
            total=len(images) * starts.shape[1],
            description="latent search",
            enabled=show_progress and self.search.steps > 0,
        ) as bar:
            return self._search.find(images, starts, progress=bar.update)

    def _checked(self, images: Images) -> Images:
        self._require_fitted()
        return checked_images(images, self.image_shape)

    def encode(self, images: Images, show_progress: bool = False) -> Floats:
        """The best noise for each image: float32 (n, latent_dim)."""
        return self._find(self._checked(images), show_progress).noise

    def search_steps(self, images: Images) -> Integers:
        """Number of steps of the search for each image: int (n,)."""
        return self._find(self._checked(images)).steps

    def all_scores(self, images: Images, show_progress: bool = False) -> dict[str, Scores]:
        """Every score of one and the same search.

        Parameters
        ----------
        images : ndarray of float32, shape (n, h, w, c)
        show_progress : bool

        Returns
        -------
        dict of str to ndarray of float32, shape (n,)
            By the values that `GanScore.score` takes.
        """
        images = self._checked(images)
        found = self._find(images, show_progress)
        return {name: self._score_of(name, images, found) for name in SCORES}

    def score(self, images: Images) -> Scores:
        """The score of `scoring`: float32 (n,), higher is more anomalous."""
        images, score = self._checked(images), self.scoring.score
        return self._score_of(
            score, images, None if score == "discriminator" else self._find(images)
        )

    def _score_of(self, name: str, images: Images, found: Found | None) -> Scores:
        if name == "discriminator" or found is None:
            return -self._in_batches(self._logit, 2 * images - 1)
        if name == "smooth_max":
            return self._maps(images, found).max(axis=(1, 2))
        if name == "anogan":
            return self._search.total(found.residual, found.feature)
        return found.residual if name == "residual" else found.feature

    def counterpart(self, images: Images) -> Images:
        """The generator's image of the best noise: float32 (n, h, w, c) in [0, 1]."""
        return self._pictures(self.encode(images))

    def anomaly_map(self, images: Images) -> Maps:
        """The smoothed difference from the counterpart, as `GanScore.map` says."""
        images = self._checked(images)
        return self._maps(images, self._find(images))

    def _maps(self, images: Images, found: Found) -> Maps:
        return self._in_batches(self._difference, images, self._pictures(found.noise))

    def walk(self, image: Floats, moments: Sequence[int]) -> tuple[Images, Floats]:
        """The course of the search for one image from its first start.

        Parameters
        ----------
        image : ndarray of float32, shape (h, w, c)
        moments : sequence of int
            Numbers of steps, rising, such as (0, 10, 50, 500).

        Returns
        -------
        images : ndarray of float32, shape (moments, h, w, c)
            The generator's images of the best noise so far.
        losses : ndarray of float32, shape (moments,)
            A(x) of it.
        """
        signed = 2 * self._checked(image[None]) - 1
        noise, losses = self._search.walk(signed[0], self._starts(signed)[0, 0], moments)
        return self._pictures(noise), losses

    def _write(self, folder: Path) -> dict[str, Any]:
        for name, network in self.networks.items():
            save_weights(network, folder / f"{name}.weights.h5")
        self.history.to_csv(folder / "history.csv", index=False)
        if self.encoder is not None:
            self.encoder_history.to_csv(folder / "encoder_history.csv", index=False)
            np.savez(folder / _USUAL, difference=self._usual)
        frames = np.round(255 * np.asarray(self.film)).astype(np.uint8)
        np.savez_compressed(folder / "film.npz", frames=frames, epochs=self.film_epochs)
        return {"diversity": self.diversity, "collapse": self.collapse}

    def _read(self, files: StoredFiles, manifest: dict[str, Any]) -> None:
        self._build()
        for name, network in self.networks.items():
            load_weights(network, files / f"{name}.weights.h5", name)
        self.history, self.diversity = pd.read_csv(files / "history.csv"), manifest["diversity"]
        if self.encoder is not None:
            self.encoder_history = pd.read_csv(files / "encoder_history.csv")
            self._usual = load_arrays(files / _USUAL)["difference"]
        film = load_arrays(files / "film.npz")
        self.film = film["frames"].astype(np.float32) / 255
        self.film_epochs = [int(epoch) for epoch in film["epochs"]]
