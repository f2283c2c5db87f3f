"""AnoGAN: a generator learns what good images look like; what it cannot make is anomalous."""

import hashlib
import warnings
from collections import OrderedDict
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from adhelpers._shared.progress import progress
from adhelpers._shared.checks import checked_images
from adhelpers.training import (
    PRECISIONS,
    Augmentation,
    TrainingPlan,
    adam,
    remove_checkpoint,
    train,
)

from ..base import Detector
from ..manifest import load_weights
from ..registry import register
from ..residuals import smooth
from .latent_search import SCHEDULES, LatentSearch, Search
from .networks import (
    build_dcgan_discriminator,
    build_dcgan_generator,
    build_latent_encoder,
    check_sides,
)
from .training import EncoderTraining, GanTraining, spread, unfused_layers

SCORES = ("anogan", "residual", "feature", "discriminator", "smooth_max")
STARTS = ("random", "encoder")
_NORMALIZATIONS = ("batch", "none")
# A pass over a few dozen images is too short an epoch to look at samples and write checkpoints
# after.
_LEAST_BATCHES = 16
_FRAMES, _FILMED, _COMPARED = 8, 8, 64
# Measured on trainings that had and had not collapsed; see `AnoGAN.collapse`.
_LEAST_DIVERSITY, _LEAST_NEAREST = 0.5, 0.2
_REMEMBERED = 8192
_ADAM_MOMENTUM = 0.5


@register
class AnoGAN(Detector):
    """A GAN of the good images; an image is scored by how near the generator gets to it when its noise is searched for.

    Schlegl et al., "Unsupervised anomaly detection with generative adversarial networks to guide
    marker discovery", IPMI 2017; with ``start="encoder"`` and ``steps=0`` f-AnoGAN, Schlegl et al.,
    Medical Image Analysis 2019. Networks of Radford, Metz and Chintala, ICLR 2016; what steadies
    them is in `adhelpers.detectors.anogan.training`.

    Parameters
    ----------
    latent_dim : int
        Length of the noise vector.
    width : float
        Scales the number of filters; 1 is the published size.
    epochs : int
        Passes over the training images, repeated where there are fewer than 16 batches of them.
    batch_size : int
        Cut to the number of images where there are fewer.
    learning_rate, discriminator_rate : float
        Of Adam, for the generator and for the discriminator (two rates: Heusel et al., "GANs
        trained by a two time-scale update rule", NeurIPS 2017); 1e-4 for both as published. See the
        notes for what each option did.
    gradient_penalty : float
        Weight of R1, see `gradient_penalty`; 0 as published.
    normalization : {"batch", "none"}
        Of the discriminator.
    dropout : float
        Of the discriminator, in [0, 1).
    average : float
        In [0, 1): the generator that is used is a running mean of the trained one, which keeps this
        share of itself in a step (Yazici et al., "The unusual effectiveness of averaging in GAN
        training", ICLR 2019); 0 uses the trained one itself.
    encoder_epochs : int
        Passes for the encoder, which is trained when the generator is done; 0 trains none.
    encoder_rate : float
        Of Adam, for the encoder; it falls to 0 as a cosine.
    rotation, shift, brightness, flip
        As in `Augmentation`.
    precision : {"float32", "bfloat16"}
        Of the networks, in training and search; weights, losses and scores stay float32.
    score : {"anogan", "residual", "feature", "discriminator", "smooth_max"}
        ``anogan``: A(x) = (1 - w) sum |x - G(z)| + w sum |f(x) - f(G(z))|, with grey values in [-1,
        1], f the discriminator's last convolution; ``residual`` and ``feature`` are its two sums
        alone; ``discriminator``: minus the discriminator's logit of the image, above 0 where it
        takes it for a fake, without any search; ``smooth_max``: the maximum of the anomaly map, as
        other detectors of the suite score.
    feature_weight : float
        The w above, in [0, 1].
    smoothing : float
        Standard deviation of the Gaussian over the anomaly map in pixels; 0 leaves it plain.
    start : {"random", "encoder"}
        Where the search begins.
    steps : int
        Of the search; 0 takes the start as it is, which needs ``start="encoder"``.
    restarts : int
        Searches for each image, the best of which counts; with ``start="encoder"`` the first begins
        there and the others at random.
    search_rate : float
        Of Adam in the search, at its beginning. With a rate that falls 0.5 and 0.8 end alike after
        500 steps (real hazelnuts and screws, losses within 1 %); after 90 steps from the encoder's
        start 0.8 was better on screws and rendered nuts (by 1 %) and worse on hazelnuts at 128 x
        128 (by 2 %).
    search_schedule : {"cosine", "constant"}
        Whether that rate falls over the steps or stays, as published; see `LatentSearch`.
    tolerance : float
        As in `LatentSearch`.
    checkpoint_every : int
        Epochs between checkpoints.
    seed : int
        Also of the search's random starts, which are the same for every image.

    Attributes
    ----------
    history, encoder_history : pandas.DataFrame
        One row an epoch, see `adhelpers.detectors.train`; ``val_diversity`` is that of a few
        samples of fixed noise.
    film : ndarray of float32, shape (frames, samples, h, w, c)
        What the generator made of fixed noise at the epochs ``film_epochs``.
    diversity : dict of str to float
        How different 64 samples are from each other (``samples``, ``samples_nearest``), and as many
        augmented training images (``data``, ``data_nearest``), see `spread`.

    Raises
    ------
    ValueError
        If a parameter is out of range; in `fit`, if a side of the images is no power of two from 32
        to 256.

    Warns
    -----
    UserWarning
        If the generator has collapsed, see `collapse`.

    Notes
    -----
    What the options did on MVTec *hazelnut* at 64 x 64 (22 training images, any rotation and flip,
    width 0.5, 900 steps, one seed each): the mean difference between 5 validation images and their
    nearest generated image, in grey values of 1, and how different the samples were from each other
    as a share of the (augmented) data.

    ====================================================  ==========  =========
    published (1e-4, batch normalisation)                     0.074      0.41
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
    >>> good = np.random.default_rng(0).uniform(size=(8, 32, 32, 1)).astype("float32")
    >>> detector = AnoGAN(width=0.05, latent_dim=8, epochs=1, encoder_epochs=1, batch_size=4, start="encoder", steps=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # a generator after one epoch makes nothing but grey
    ...     detector = detector.fit(good[:4], good[4:], show_progress=False)
    >>> detector.score(good).shape, detector.counterpart(good).shape
    ((8,), (8, 32, 32, 1))
    """

    name = "anogan"
    counterpart_name = "nearest normal image"
    scoring_parameters = (
        "score",
        "feature_weight",
        "smoothing",
        "start",
        "steps",
        "restarts",
        "search_rate",
        "search_schedule",
        "tolerance",
    )

    def __init__(
        self,
        *,
        latent_dim=100,
        width=1.0,
        epochs=200,
        batch_size=16,
        learning_rate=4e-4,
        discriminator_rate=4e-4,
        gradient_penalty=1.0,
        normalization="batch",
        dropout=0.3,
        average=0.99,
        encoder_epochs=100,
        encoder_rate=5e-4,
        rotation=0.0,
        shift=0.0,
        brightness=0.0,
        flip="none",
        precision="float32",
        score="anogan",
        feature_weight=0.1,
        smoothing=2.0,
        start="random",
        steps=500,
        restarts=1,
        search_rate=0.5,
        search_schedule="cosine",
        tolerance=0.002,
        checkpoint_every=10,
        seed=0,
    ):
        super().__init__(
            latent_dim=latent_dim,
            width=width,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            discriminator_rate=discriminator_rate,
            gradient_penalty=gradient_penalty,
            normalization=normalization,
            dropout=dropout,
            average=average,
            encoder_epochs=encoder_epochs,
            encoder_rate=encoder_rate,
            rotation=rotation,
            shift=shift,
            brightness=brightness,
            flip=flip,
            precision=precision,
            score=score,
            feature_weight=feature_weight,
            smoothing=smoothing,
            start=start,
            steps=steps,
            restarts=restarts,
            search_rate=search_rate,
            search_schedule=search_schedule,
            tolerance=tolerance,
            checkpoint_every=checkpoint_every,
            seed=seed,
        )
        self._check()
        self.history = self.encoder_history = pd.DataFrame()
        self.film, self.film_epochs, self.diversity = None, [], {}

    def _check(self):
        parameters = self.parameters
        for name, allowed in (
            ("precision", PRECISIONS),
            ("normalization", _NORMALIZATIONS),
            ("score", SCORES),
            ("start", STARTS),
            ("search_schedule", SCHEDULES),
        ):
            if parameters[name] not in allowed:
                raise ValueError(
                    f"{name} must be one of {', '.join(allowed)}, not {parameters[name]!r}."
                )
        for name in (
            "latent_dim",
            "width",
            "learning_rate",
            "discriminator_rate",
            "encoder_rate",
            "search_rate",
        ):
            if not parameters[name] > 0:
                raise ValueError(f"{name} must be above 0, not {parameters[name]}.")
        for name in ("gradient_penalty", "encoder_epochs", "smoothing", "steps", "tolerance"):
            if not parameters[name] >= 0:
                raise ValueError(f"{name} must be 0 or more, not {parameters[name]}.")
        for name in ("dropout", "average"):
            if not 0 <= parameters[name] < 1:
                raise ValueError(f"{name} must be in [0, 1), not {parameters[name]}.")
        if not 0 <= parameters["feature_weight"] <= 1:
            raise ValueError(
                f"feature_weight must be in [0, 1], not {parameters['feature_weight']}."
            )
        if parameters["restarts"] < 1:
            raise ValueError(f"restarts must be 1 or more, not {parameters['restarts']}.")
        if parameters["start"] == "encoder" and not parameters["encoder_epochs"]:
            raise ValueError(
                'start="encoder" needs an encoder, and with encoder_epochs=0 none is trained: set encoder_epochs to 1 or '
                'more and train again, or take start="random".'
            )
        if parameters["start"] == "random" and not parameters["steps"]:
            raise ValueError(
                'steps=0 scores the start of the search, and with start="random" that is an image of nothing: set '
                'start="encoder", or steps to 1 or more.'
            )
        self._augmentation()
        self._plan("epochs")

    def _augmentation(self):
        return Augmentation(
            *(self.parameters[name] for name in ("rotation", "shift", "brightness", "flip"))
        )

    def _plan(self, epochs, **options):
        return TrainingPlan(
            epochs=self.parameters[epochs],
            **options,
            **{name: self.parameters[name] for name in ("batch_size", "checkpoint_every")},
        )

    def _build(self):
        check_sides(self.image_shape)
        parameters = self.parameters
        shared = {
            "shape": self.image_shape,
            "width": parameters["width"],
            "policy": PRECISIONS[parameters["precision"]],
        }
        self.networks = {
            "generator": build_dcgan_generator(latent_dim=parameters["latent_dim"], **shared),
            "discriminator": build_dcgan_discriminator(
                dropout=parameters["dropout"], normalization=parameters["normalization"], **shared
            ),
        }
        if parameters["average"]:
            self.networks["average"] = build_dcgan_generator(
                latent_dim=parameters["latent_dim"], **shared
            )
            self.networks["average"].set_weights(self.networks["generator"].get_weights())
        if parameters["encoder_epochs"]:
            self.networks["encoder"] = build_latent_encoder(
                latent_dim=parameters["latent_dim"], **shared
            )
        self._generator = self.networks.get("average", self.networks["generator"])
        self._search = LatentSearch(
            self._generator,
            self.networks["discriminator"],
            Search(
                **{
                    name: parameters[name]
                    for name in ("start", "steps", "restarts", "tolerance", "feature_weight")
                },
                learning_rate=parameters["search_rate"],
                schedule=parameters["search_schedule"],
            ),
        )
        image = (tf.TensorSpec((None, *self.image_shape), tf.float32),)
        self._compiled = {
            "logit": tf.function(
                lambda images: self.networks["discriminator"](images, training=False)[0][:, 0],
                input_signature=image,
            ),
            "encode": tf.function(
                lambda images: self.networks["encoder"](images, training=False),
                input_signature=image,
            ),
            "map": tf.function(self._map_tensor, input_signature=image * 2),
        }
        self._found = OrderedDict()

    def fit(
        self, train_images, validation, *, checkpoint=None, show_progress=True, tensorboard=None
    ):
        """Train the GAN and then the encoder; see `Detector.fit`. ``tensorboard`` is a folder for the GAN's losses."""
        train_images = checked_images(train_images, name="train")
        validation = checked_images(validation, train_images.shape[1:], name="validation")
        check_sides(train_images.shape[1:])
        parameters = self.parameters
        keras.utils.set_random_seed(parameters["seed"])
        self.image_shape = train_images.shape[1:]
        self._build()
        batches = len(train_images) / min(parameters["batch_size"], len(train_images))
        repeated = np.tile(train_images, (max(1, round(_LEAST_BATCHES / batches)), 1, 1, 1))
        training = self._gan_training()
        with unfused_layers():
            self.history = train(
                training,
                repeated,
                validation,
                self._plan("epochs"),
                seed=parameters["seed"],
                checkpoint=checkpoint,
                show_progress=show_progress,
                description="GAN",
                tensorboard=tensorboard,
            )
            self.film, self.film_epochs = training.film.frames(), training.film.epochs
            if "encoder" in self.networks:
                encoder_checkpoint = (
                    None if checkpoint is None else Path(checkpoint).with_suffix(".encoder.npz")
                )
                self._train_encoder(repeated, validation, encoder_checkpoint, show_progress)
        self._measure_diversity(train_images)
        if self.collapse is not None:
            warnings.warn(self.collapse, stacklevel=2)
        return self

    def _adam(self, network, rate):
        return adam(rate, self.networks[network], beta_1=_ADAM_MOMENTUM)

    def _gan_training(self):
        parameters = self.parameters
        optimizers = {
            "generator": self._adam("generator", parameters["learning_rate"]),
            "discriminator": self._adam("discriminator", parameters["discriminator_rate"]),
        }
        film_epochs = np.unique(np.geomspace(1, parameters["epochs"], _FRAMES).round().astype(int))
        networks = {name: network for name, network in self.networks.items() if name != "encoder"}
        return GanTraining(
            networks,
            optimizers,
            augmentation=self._augmentation(),
            penalty=parameters["gradient_penalty"],
            average=parameters["average"],
            film_epochs=film_epochs,
            film_noise=self._noise(_FILMED, 1),
        )

    def _train_encoder(self, images, validation, checkpoint, show_progress):
        training = EncoderTraining(
            self.networks["encoder"],
            self._adam("encoder", self.parameters["encoder_rate"]),
            self._search,
            self._augmentation(),
        )
        plan = self._plan("encoder_epochs", schedule="cosine")
        self.encoder_history = train(
            training,
            images,
            validation,
            plan,
            seed=self.parameters["seed"],
            checkpoint=checkpoint,
            show_progress=show_progress,
            description="encoder",
        )
        remove_checkpoint(checkpoint)

    def _noise(self, count, stream):
        """Noise that follows from the seed: 0 for the search's starts, 1 for the film, 2 for samples."""
        return (
            np.random.default_rng((self.parameters["seed"], stream))
            .standard_normal((count, self.parameters["latent_dim"]))
            .astype(np.float32)
        )

    def _measure_diversity(self, train_images):
        shown = np.resize(train_images, (_COMPARED, *self.image_shape))
        data = (
            self._augmentation()
            .apply(tf.constant(shown), tf.constant((self.parameters["seed"], 0), tf.int32))
            .numpy()
        )
        (samples, samples_nearest), (data, data_nearest) = (
            spread(self.samples(_COMPARED)),
            spread(data),
        )
        self.diversity = {
            "samples": samples,
            "samples_nearest": samples_nearest,
            "data": data,
            "data_nearest": data_nearest,
        }

    @property
    def collapse(self):
        """What is wrong with the generator's variety as a sentence, or None where it varies as its data do.

        A generator has collapsed where its samples differ from each other by less than half of what
        (augmented) training images do, or where the nearest sample to each is less than a fifth as
        far as among training images: a few pictures again and again.
        """
        self._require_fitted()
        measured = self.diversity
        differing = measured["samples"] / max(measured["data"], 1e-12)
        nearest = measured["samples_nearest"] / max(measured["data_nearest"], 1e-12)
        if differing >= _LEAST_DIVERSITY and nearest >= _LEAST_NEAREST:
            return None
        return (
            f"The generator has collapsed: its samples differ from each other by {100 * differing:.0f} % of what the good images do, "
            f"and from the most similar one by {100 * nearest:.0f} % (at least {100 * _LEAST_DIVERSITY:.0f} and "
            f"{100 * _LEAST_NEAREST:.0f} % are expected). Good images that it cannot make will be called anomalous. More epochs or "
            "a lower discriminator_rate may help."
        )

    def samples(self, count):
        """What the generator makes of ``count`` draws of noise, the same ones each time: float32 (count, h, w, c) in [0, 1]."""
        self._require_fitted()
        return self._pictures(self._noise(count, 2))

    def _pictures(self, noise):
        return (self._search.generate(noise) + 1) / 2

    def _starts(self, images):
        """Where the searches for images in [-1, 1] begin: float32 (n, restarts, latent_dim)."""
        random = self._noise(self.parameters["restarts"], 0)
        starts = np.tile(random, (len(images), 1, 1))
        if self.parameters["start"] == "encoder":
            starts[:, 0] = self._in_blocks("encode", images)
        return starts

    def _in_blocks(self, name, *arrays):
        block = 64
        return np.concatenate(
            [
                self._compiled[name](
                    *(tf.constant(array[start : start + block]) for array in arrays)
                ).numpy()
                for start in range(0, len(arrays[0]), block)
            ]
        )

    def _find(self, images, show_progress=False):
        """Noise, residual and feature sum of checked images in [0, 1], each image searched for only once."""
        keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        new = list(
            {key: index for index, key in enumerate(keys) if key not in self._found}.values()
        )
        found = {key: self._found[key] for key in keys if key in self._found}
        if new:
            signed = 2 * images[new] - 1
            starts, steps = self._starts(signed), self.parameters["steps"]
            with progress(
                total=len(new) * starts.shape[1],
                description="latent search",
                enabled=show_progress and steps > 0,
            ) as bar:
                result = self._search.find(signed, starts, steps, bar.update)
            for position, index in enumerate(new):
                found[keys[index]] = self._found[keys[index]] = (
                    result.noise[position],
                    result.residual[position],
                    result.feature[position],
                    result.steps[position],
                )
        while len(self._found) > _REMEMBERED:
            self._found.popitem(last=False)
        return tuple(np.array(part) for part in zip(*(found[key] for key in keys), strict=True))

    def _checked(self, images):
        self._require_fitted()
        return checked_images(images, self.image_shape)

    def encode(self, images, show_progress=False):
        """The best noise for each image: float32 (n, latent_dim)."""
        return self._find(self._checked(images), show_progress)[0]

    def search_steps(self, images):
        """How many steps the search took for each image: int (n,)."""
        return self._find(self._checked(images))[3]

    def all_scores(self, images, show_progress=False):
        """Every score of one and the same search.

        Parameters
        ----------
        images : ndarray of float32, shape (n, h, w, c)
        show_progress : bool

        Returns
        -------
        dict of str to ndarray of float32, shape (n,)
            By the names that the parameter ``score`` takes.
        """
        images = self._checked(images)
        noise, residual, feature, _ = self._find(images, show_progress)
        return {
            "anogan": self._search.total(residual, feature),
            "residual": residual,
            "feature": feature,
            "discriminator": self._fakeness(images),
            "smooth_max": self._maps(images, noise).max(axis=(1, 2)),
        }

    def _fakeness(self, images):
        return -self._in_blocks("logit", 2 * images - 1)

    def score(self, images):
        images, score = self._checked(images), self.parameters["score"]
        if score == "discriminator":
            return self._fakeness(images)
        noise, residual, feature, _ = self._find(images)
        if score == "smooth_max":
            return self._maps(images, noise).max(axis=(1, 2))
        return {
            "anogan": self._search.total(residual, feature),
            "residual": residual,
            "feature": feature,
        }[score]

    def counterpart(self, images):
        """The generator's image of the best noise: float32 (n, h, w, c) in [0, 1]."""
        return self._pictures(self.encode(images))

    def anomaly_map(self, images):
        """The smoothed absolute difference between image and counterpart, averaged over channels: float32 (n, h, w)."""
        images = self._checked(images)
        return self._maps(images, self._find(images)[0])

    def _maps(self, images, noise):
        return self._in_blocks("map", images, self._pictures(noise))

    def _map_tensor(self, images, counterparts):
        return smooth(
            tf.reduce_mean(tf.abs(images - counterparts), axis=-1), self.parameters["smoothing"]
        )

    def walk(self, image, moments):
        """How the search for one image goes on from its first start.

        Parameters
        ----------
        image : ndarray of float32, shape (h, w, c)
        moments : sequence of int
            Numbers of steps, rising, such as (0, 10, 50, 500).

        Returns
        -------
        images : ndarray of float32, shape (moments, h, w, c)
            What the generator makes of the best noise so far.
        losses : ndarray of float32, shape (moments,)
            A(x) of it.
        """
        signed = 2 * self._checked(image[None]) - 1
        noise, losses = self._search.walk(signed[0], self._starts(signed)[0, 0], moments)
        return self._pictures(noise), losses

    def _write(self, folder):
        for name, network in self.networks.items():
            network.save_weights(folder / f"{name}.weights.h5")
        self.history.to_csv(folder / "history.csv", index=False)
        self.encoder_history.to_csv(folder / "encoder_history.csv", index=False)
        np.savez_compressed(
            folder / "film.npz",
            frames=np.round(255 * self.film).astype(np.uint8),
            epochs=self.film_epochs,
        )
        return {"diversity": self.diversity, "collapse": self.collapse}

    def _read(self, folder, manifest):
        self._build()
        for name, network in self.networks.items():
            load_weights(network, folder / f"{name}.weights.h5", name)
        self.history, self.diversity = pd.read_csv(folder / "history.csv"), manifest["diversity"]
        if "encoder" in self.networks:
            self.encoder_history = pd.read_csv(folder / "encoder_history.csv")
        with np.load(folder / "film.npz", allow_pickle=False) as film:
            self.film, self.film_epochs = (
                film["frames"].astype(np.float32) / 255,
                [int(epoch) for epoch in film["epochs"]],
            )
