"""Convolutional autoencoders of five architectures, trained on good images."""

from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers

from adhelpers._shared.arrays import Images
from adhelpers._shared.checks import checked_images
from adhelpers.training import (
    PRECISIONS,
    Augmentation,
    Trainable,
    TrainingPlan,
    adam,
    find_learning_rate,
    multiscale_dissimilarity,
    squared_error,
    structural_dissimilarity,
    train,
)

from .manifest import load_weights
from .registry import register
from .residuals import ReconstructionDetector, ResidualScore

ARCHITECTURES = ("mvtec", "baseline", "inception", "resnet", "skip")
# Shortcuts around the code let an anomaly through to the reconstruction, where it is no longer
# seen.
COPYING_ARCHITECTURES = ("resnet", "skip")
_LOSSES = {
    "l2": squared_error,
    "ssim": structural_dissimilarity,
    "ms_ssim": multiscale_dissimilarity,
}
_LATENT_DIMS = {"mvtec": 100, "baseline": 64, "inception": 64, "resnet": 64, "skip": 64}
# The side to which mvtec's encoder reduces an image before the latent code, and the halvings that
# take the others there.
_MVTEC_SIDE = 8
_BLOCK_FILTERS = (32, 32, 64, 64, 128, 128)
_RESNET_FILTERS = (32, 64, 64, 128, 128)


def _start(inputs):
    return keras.initializers.RandomNormal(stddev=float(np.sqrt(2 / inputs)))


class _Layers:
    """Layers with the number format and the width of one network, so that architectures read like their tables.

    Weights start with the variance that hands the signal on unchanged (He et al., "Delving deep
    into rectifiers", ICCV 2015), transposed convolutions by the inputs that really meet in one
    output. With Keras' own start the signal fades over the many layers, and a training stays at the
    mean image for dozens of epochs, with 1 - SSIM for good.
    """

    def __init__(self, width, policy):
        self._width, self.policy = width, policy

    def filters(self, count):
        return max(4, round(count * self._width))

    def policy_at(self, hidden):
        """The number format at a place of the network: on maps of one or two pixels bfloat16 brings no speed, and TensorFlow 2.21's
        convolutions there read what they have not written: every other training began with NaN."""
        return "float32" if len(hidden.shape) == 4 and min(hidden.shape[1:3]) <= 2 else self.policy

    def convolution(self, hidden, filters, size, stride=1, padding="same"):
        start = _start(hidden.shape[-1] * np.prod(np.broadcast_to(size, 2)))
        return layers.Conv2D(
            self.filters(filters),
            size,
            stride,
            padding,
            kernel_initializer=start,
            dtype=self.policy_at(hidden),
        )(hidden)

    def transposed(self, hidden, filters, size, stride=1, padding="same"):
        return self.transposed_to(hidden, self.filters(filters), size, stride, padding)

    def transposed_to(self, hidden, channels, size, stride=1, padding="same"):
        """To a number of channels that the width does not scale, because it is that of an earlier layer."""
        # With "valid" the only input is a code of one place, which meets each output once.
        meeting = (
            1
            if padding == "valid"
            else np.prod(np.broadcast_to(size, 2) / np.broadcast_to(stride, 2))
        )
        return layers.Conv2DTranspose(
            channels,
            size,
            stride,
            padding,
            kernel_initializer=_start(hidden.shape[-1] * meeting),
            dtype=self.policy_at(hidden),
        )(hidden)

    def leaky(self, hidden, slope):
        return layers.LeakyReLU(negative_slope=slope, dtype=self.policy_at(hidden))(hidden)

    def normalized(self, hidden):
        # A few hundred images make few steps: Keras' momentum of 0.99 would still hold the
        # statistics of the first ones.
        return layers.BatchNormalization(momentum=0.9, dtype=self.policy_at(hidden))(hidden)

    def pooled(self, hidden, size=2, stride=2):
        return layers.MaxPooling2D(size, stride, "same", dtype=self.policy_at(hidden))(hidden)

    def averaged(self, hidden):
        return layers.AveragePooling2D(2, dtype=self.policy_at(hidden))(hidden)

    def upsampled(self, hidden):
        return layers.UpSampling2D(2, dtype=self.policy_at(hidden))(hidden)

    def added(self, *hidden):
        return layers.Add(dtype=self.policy_at(hidden[0]))(hidden)

    def joined(self, *hidden):
        return layers.Concatenate(dtype=self.policy_at(hidden[0]))(hidden)

    def through_code(self, hidden, latent_dim):
        """Flatten, a dense code, and back to the shape before."""
        shape, policy = hidden.shape[1:], self.policy_at(hidden)
        code = layers.Dense(latent_dim, dtype=policy, name="code")(
            layers.Flatten(dtype=policy)(hidden)
        )
        return layers.Reshape(shape, dtype=policy)(
            layers.Dense(int(np.prod(shape)), dtype=policy)(code)
        )


def _mvtec(make, image, latent_dim, latent):
    halvings = _mvtec_halvings(image.shape[1:3])
    # Four halvings are the published ones for 128 pixels; each doubling of the image adds one in
    # front.
    steps = [(32, 4, 2)] * (halvings - 2) + [
        (32, 3, 1),
        (64, 4, 2),
        (64, 3, 1),
        (128, 4, 2),
        (64, 3, 1),
        (32, 3, 1),
    ]
    hidden = image
    for filters, size, stride in steps:
        hidden = make.leaky(make.convolution(hidden, filters, size, stride), 0.2)
    size, padding = (_MVTEC_SIDE, "same") if latent == "map" else (hidden.shape[1:3], "valid")
    code = layers.Conv2D(
        latent_dim, size, 1, padding, kernel_initializer="he_normal", dtype=make.policy, name="code"
    )(hidden)
    hidden = make.leaky(make.transposed(code, 32, size, 1, padding), 0.2)
    # Mirrored: a step from a to b filters becomes one from b to a; the last one to the image's
    # channels is made by the caller.
    inputs = [32] + [filters for filters, _, _ in steps[:-1]]
    for filters, (_, size, stride) in list(zip(inputs, steps, strict=True))[:0:-1]:
        hidden = make.leaky(make.transposed(hidden, filters, size, stride), 0.2)
    return hidden, (4, 2)


def _baseline(make, image, latent_dim, latent):
    hidden = image
    for filters in _BLOCK_FILTERS:
        hidden = make.pooled(make.leaky(make.normalized(make.convolution(hidden, filters, 3)), 0.1))
    hidden = make.through_code(hidden, latent_dim)
    for filters in _BLOCK_FILTERS[::-1]:
        hidden = make.leaky(
            make.normalized(make.convolution(make.upsampled(hidden), filters, 3)), 0.1
        )
    return hidden, (3, 1)


def _inception_block(make, hidden, filters):
    each = filters // 4
    branches = [make.convolution(hidden, each, size) for size in (1, 3, 5)]
    branches.append(make.convolution(make.pooled(hidden, 3, 1), each, 1))
    return make.leaky(make.normalized(make.joined(*branches)), 0.1)


def _inception(make, image, latent_dim, latent):
    hidden = image
    for filters in _BLOCK_FILTERS:
        hidden = make.pooled(_inception_block(make, hidden, filters))
    hidden = make.through_code(hidden, latent_dim)
    for filters in _BLOCK_FILTERS[::-1]:
        hidden = _inception_block(make, make.upsampled(hidden), filters)
    return hidden, (3, 1)


def _resnet(make, image, latent_dim, latent):
    hidden = make.convolution(image, _RESNET_FILTERS[0], 3)
    shortcuts = []
    for filters in _RESNET_FILTERS:
        shortcuts.append(hidden)
        # Pre-activation (He et al., "Identity mappings in deep residual networks", ECCV 2016):
        # nothing after the addition.
        active = make.leaky(make.normalized(hidden), 0.1)
        inner = make.leaky(make.normalized(make.convolution(active, filters, 3, 2)), 0.1)
        # Averaged first (He et al., "Bag of tricks for image classification", CVPR 2019): a 1x1
        # convolution of stride 2 would throw three of four values away, and with few channels its
        # gradient ends the process in TensorFlow 2.21 on some processors.
        hidden = make.added(
            make.convolution(inner, filters, 3), make.convolution(make.averaged(active), filters, 1)
        )
    hidden = make.through_code(hidden, latent_dim)
    for shortcut in shortcuts[::-1]:
        hidden = make.transposed_to(
            make.leaky(make.normalized(hidden), 0.1), shortcut.shape[-1], 3, 2
        )
        hidden = make.added(hidden, shortcut)
    return make.leaky(make.normalized(hidden), 0.1), (3, 1)


def _skip(make, image, latent_dim, latent):
    hidden, before, strides = image, [], []
    counts = (32, 64, 128, 128, 256, 256)
    while max(hidden.shape[1:3]) > 1:
        strides.append(tuple(2 if side > 1 else 1 for side in hidden.shape[1:3]))
        before.append(hidden)
        filters = counts[min(len(strides), len(counts)) - 1]
        last = max(hidden.shape[1:3]) == 2
        hidden = make.leaky(
            make.normalized(make.convolution(hidden, 256 if last else filters, 4, strides[-1])), 0.1
        )
    hidden = make.through_code(hidden, latent_dim)
    # Two shortcuts: at a quarter of the image's side, and at a sixteenth of it.
    shortcuts = {position for position in (2, 4) if position < len(before)}
    for position in range(len(before) - 1, 0, -1):
        hidden = make.leaky(
            make.normalized(
                make.transposed_to(hidden, before[position].shape[-1], 4, strides[position])
            ),
            0.1,
        )
        if position in shortcuts:
            hidden = make.added(hidden, before[position])
    return hidden, (4, strides[0])


_BUILDERS = {
    "mvtec": _mvtec,
    "baseline": _baseline,
    "inception": _inception,
    "resnet": _resnet,
    "skip": _skip,
}


def _mvtec_halvings(sides):
    return max(3, round(np.log2(max(sides) / _MVTEC_SIDE)))


def _check_size(architecture, sides):
    if architecture == "skip":
        wrong = [side for side in sides if side < 16 or side & (side - 1)]
        if wrong:
            nearest = " x ".join(str(max(16, 2 ** round(np.log2(side)))) for side in sides)
            raise ValueError(
                f"architecture 'skip' halves an image down to one pixel: height and width must be powers of two from 16 on, not "
                f"{sides[0]} x {sides[1]}; the nearest is {nearest}."
            )
        return
    multiple = 2 ** {"mvtec": _mvtec_halvings(sides), "resnet": len(_RESNET_FILTERS)}.get(
        architecture, len(_BLOCK_FILTERS)
    )
    if any(side % multiple for side in sides):
        nearest = " x ".join(
            str(max(multiple, round(side / multiple) * multiple)) for side in sides
        )
        raise ValueError(
            f"architecture {architecture!r} needs a height and width that are multiples of {multiple}, not {sides[0]} x {sides[1]}; "
            f"the nearest is {nearest}."
        )


def build_autoencoder(
    shape, architecture="mvtec", latent_dim=None, latent="vector", width=1.0, policy="float32"
):
    """A convolutional autoencoder: an image to its reconstruction.

    Parameters
    ----------
    shape : tuple of int
        (h, w, c).
    architecture : {"mvtec", "baseline", "inception", "resnet", "skip"}
        ``"mvtec"``: Bergmann et al., "Improving unsupervised defect segmentation by applying
        structural similarity to autoencoders", VISAPP 2019, table 1, leaky ReLU 0.2.
        ``"baseline"``: six blocks of convolution, batch normalisation, leaky ReLU 0.1 and pooling,
        mirrored with upsampling. ``"inception"``: six blocks of parallel 1x1, 3x3, 5x5 and pooled
        1x1 convolutions. ``"resnet"``: pre-activation residual blocks, transposed decoder with
        additive shortcuts. ``"skip"``: stride-2 convolutions to 1x1x256, two additive shortcuts.
        The last two tend to copy defects into the reconstruction.
    latent_dim : int, optional
        Length of the code (channels, for ``latent="map"``); None is 100 for ``"mvtec"`` (1 for a
        map) and 64 for the others.
    latent : {"vector", "map"}
        For ``"mvtec"``: a code without places, or a map of 8x8 places.
    width : float
        Scales the number of filters.
    policy : str
        Keras' dtype policy.

    Returns
    -------
    keras.Model
        (n, h, w, c) -> (n, h, w, c) in [0, 1] (sigmoid).

    Raises
    ------
    ValueError
        If the architecture or latent is unknown, a map is asked of another architecture, or the
        size does not fit: the nearest that does is named.

    Examples
    --------
    >>> build_autoencoder((128, 128, 1)).get_layer("code").output.shape
    (None, 1, 1, 100)
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"architecture must be one of {', '.join(ARCHITECTURES)}, not {architecture!r}."
        )
    if latent not in ("vector", "map") or (latent == "map" and architecture != "mvtec"):
        raise ValueError(
            f"latent must be 'vector', or 'map' for the architecture 'mvtec', not {latent!r} for {architecture!r}."
        )
    _check_size(architecture, shape[:2])
    latent_dim = latent_dim or (1 if latent == "map" else _LATENT_DIMS[architecture])
    image = keras.Input(shape)
    hidden, (size, stride) = _BUILDERS[architecture](
        _Layers(width, policy), image, latent_dim, latent
    )
    # In float32 also where the rest is not: a reconstruction of 8 significant bits would be a
    # residual by itself.
    reconstruction = layers.Conv2DTranspose(
        shape[2], size, stride, "same", activation="sigmoid", dtype="float32"
    )(hidden)
    return keras.Model(image, reconstruction, name=architecture)


class _Training(Trainable):
    monitor = "val_loss"

    def __init__(self, network, loss, augmentation, optimizer):
        self.networks, self.optimizers = {"autoencoder": network}, {"autoencoder": optimizer}
        self._loss, self._augmentation = loss, augmentation

    def train_step(self, images, seed):
        images, network = self._augmentation.apply(images, seed), self.networks["autoencoder"]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self._loss(images, network(images, training=True)))
        weights = network.trainable_variables
        self.optimizers["autoencoder"].apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}

    def validation_step(self, images):
        return {
            "loss": tf.reduce_mean(
                self._loss(images, self.networks["autoencoder"](images, training=False))
            )
        }


@register
class CAE(ReconstructionDetector):
    """Convolutional autoencoder: what it cannot reproduce of an image is anomalous.

    Bergmann, Löwe, Fauser, Sattlegger, Steger, "Improving unsupervised defect segmentation by
    applying structural similarity to autoencoders", VISAPP 2019.

    Parameters
    ----------
    architecture, latent_dim, latent, width
        As in `build_autoencoder`.
    loss : {"l2", "ssim", "ms_ssim"}
        Squared error; 1 - SSIM, for grey images; 1 - MS-SSIM, for colour. What ``residual`` is may
        be chosen apart from it.
    plan : TrainingPlan, optional
        None is `default_plan`. With ``learning_rate=None`` the rate is found by a sweep before
        training (`find_learning_rate`), kept as ``learning_rate_sweep``. What is monitored is the
        loss of the validation images.
    augmentation : Augmentation, optional
        None changes nothing; leave it at that where ``pose="axis"`` has turned the objects alike.
    scoring : ResidualScore, optional
        None is the smoothed squared difference; it can be changed after training.
    precision : {"float32", "bfloat16"}
        bfloat16 trains faster on processors that support it; weights stay float32.
    seed : int

    Attributes
    ----------
    history : pandas.DataFrame
        One row an epoch, see `adhelpers.detectors.train`.
    learning_rate_sweep : pandas.DataFrame or None
        ``learning_rate``, ``loss`` and ``smoothed`` of the sweep; None where the rate was given.
    found_learning_rate : float or None
        The rate that the sweep suggested.

    Raises
    ------
    ValueError
        If a parameter is out of range or, in `fit`, the size does not fit the architecture or the
        loss does not fit the colour.

    Examples
    --------
    >>> good = np.random.default_rng(0).uniform(size=(8, 64, 64, 1)).astype("float32")
    >>> detector = CAE(loss="ssim", width=0.2, plan=TrainingPlan(epochs=1))
    >>> detector = detector.fit(good[:6], good[6:], show_progress=False)
    >>> detector.counterpart(good).shape
    (8, 64, 64, 1)
    """

    name = "cae"
    title = "autoencoder"

    def __init__(
        self,
        architecture: str = "mvtec",
        loss: str = "l2",
        *,
        latent_dim: int | None = None,
        latent: str = "vector",
        width: float = 1.0,
        plan: TrainingPlan | None = None,
        augmentation: Augmentation | None = None,
        scoring: ResidualScore | None = None,
        precision: str = "float32",
        seed: int = 0,
    ) -> None:
        for name, value, allowed in (
            ("architecture", architecture, ARCHITECTURES),
            ("loss", loss, tuple(_LOSSES)),
            ("precision", precision, tuple(PRECISIONS)),
            ("latent", latent, ("vector", "map")),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        for name, number in (("latent_dim", latent_dim), ("width", width)):
            if number is not None and not number > 0:
                raise ValueError(f"{name} must be above 0, not {number}")
        super().__init__(scoring or ResidualScore(residual="l2"))
        self.architecture, self.loss, self.latent_dim, self.latent, self.width = (
            architecture,
            loss,
            latent_dim,
            latent,
            width,
        )
        self.plan = plan or self.default_plan()
        self.augmentation = augmentation or Augmentation()
        self.precision, self.seed = precision, seed
        self.history = pd.DataFrame()
        self.learning_rate_sweep: pd.DataFrame | None = None
        self.found_learning_rate: float | None = None

    @staticmethod
    def default_plan() -> TrainingPlan:
        """The learning rate found by a sweep, then cyclical and halved on plateaus, until nothing gets better for long."""
        return TrainingPlan(
            epochs=200, learning_rate=None, schedule="cyclical", patience=12, plateau=6
        )

    @property
    def copies_defects(self):
        """Whether shortcuts around the code may copy a defect into the reconstruction, where it is no longer seen."""
        return self.architecture in COPYING_ARCHITECTURES

    def _build(self) -> None:
        assert self.image_shape is not None
        _check_loss(self.loss, self.image_shape)
        self.network = build_autoencoder(
            self.image_shape,
            self.architecture,
            self.latent_dim,
            self.latent,
            self.width,
            PRECISIONS[self.precision],
        )
        self._batched = {}

    def fit(
        self,
        train_images: Images,
        validation: Images,
        *,
        checkpoint: str | Path | None = None,
        show_progress: bool = True,
        tensorboard: str | Path | None = None,
    ) -> Self:
        """Train; see `Detector.fit`. ``tensorboard`` is a folder for TensorBoard's event files."""
        train_images = checked_images(train_images, name="train")
        validation = checked_images(validation, train_images.shape[1:], name="validation")
        keras.utils.set_random_seed(self.seed)
        self.image_shape = train_images.shape[1:]
        try:
            self._build()
        except ValueError:
            self.image_shape = None
            raise
        # A sweep sets the rate anew.
        optimizer = adam(self.plan.learning_rate or 1e-3, self.network)
        training = _Training(self.network, _LOSSES[self.loss], self.augmentation, optimizer)
        if self.plan.learning_rate is None:
            sweep = find_learning_rate(
                training,
                train_images,
                batch_size=self.plan.batch_size,
                seed=self.seed,
                show_progress=show_progress,
            )
            self.learning_rate_sweep, self.found_learning_rate = sweep.table, sweep.suggested
            optimizer.learning_rate.assign(sweep.suggested)
        self.history = train(
            training,
            train_images,
            validation,
            self.plan,
            seed=self.seed,
            checkpoint=checkpoint,
            show_progress=show_progress,
            description=f"{self.architecture} autoencoder",
            tensorboard=tensorboard,
        )
        return self

    def reconstruct_tensor(self, images: tf.Tensor) -> tf.Tensor:
        return self.network(images, training=False)

    def _write(self, folder: Path) -> dict[str, Any]:
        self.network.save_weights(folder / "autoencoder.weights.h5")
        self.history.to_csv(folder / "history.csv", index=False)
        if self.learning_rate_sweep is not None:
            self.learning_rate_sweep.to_csv(folder / "learning_rate.csv", index=False)
        return {"found_learning_rate": self.found_learning_rate}

    def _read(self, folder: Path, manifest: dict[str, Any]) -> None:
        self._build()
        load_weights(self.network, folder / "autoencoder.weights.h5")
        self.history = pd.read_csv(folder / "history.csv")
        self.found_learning_rate = manifest["found_learning_rate"]
        if self.found_learning_rate is not None:
            self.learning_rate_sweep = pd.read_csv(folder / "learning_rate.csv")


def _check_loss(loss, shape):
    colour = shape[2] == 3
    if (loss == "ssim" and colour) or (loss == "ms_ssim" and not colour):
        right = "loss 'ms_ssim' (or 'l2')" if colour else "loss 'ssim' (or 'l2')"
        raise ValueError(
            f"loss {loss!r} is for {'grey' if colour else 'colour'} images, and these are {'colour' if colour else 'grey'}: "
            f"use {right}, or load them with color='{'grayscale' if colour else 'rgb'}'."
        )
    if loss != "l2" and min(shape[:2]) < 11:
        raise ValueError(
            f"loss {loss!r} compares windows of 11 pixels; images of {shape[0]} x {shape[1]} are too small."
        )


def copied_share(detector, images, planted):
    """How much of something planted in good images the detector's counterpart takes over: 0 nothing, 1 all of it.

    A detector that copies what it should not know cannot see it. The counterparts of planted and of
    plain images are compared at the planted pixels.

    Parameters
    ----------
    detector : Detector
        Fitted.
    images : ndarray of float32, shape (n, h, w, c)
        Good images.
    planted : ndarray of float32, shape (n, h, w, c)
        The same images with something planted in each (see `plant_patches`).

    Returns
    -------
    float
        The share of the planted change that is found again, as a regression of one change on the
        other over all planted pixels.

    Raises
    ------
    ValueError
        If nothing is planted.

    Examples
    --------
    >>> from adhelpers.detectors import Subspace, plant_patches
    >>> good = np.random.default_rng(0).uniform(size=(12, 32, 32, 1)).astype("float32")
    >>> detector = Subspace(n_components=3).fit(good[:8], good[8:])
    >>> bool(copied_share(detector, good[8:], plant_patches(good[8:], seed=0, draws=1)) < 0.5)
    True
    """
    images = checked_images(images)
    change = checked_images(planted, images.shape[1:], name="planted") - images
    where = np.abs(change) > 0
    if not where.any():
        raise ValueError(
            "planted does not differ from images: there is nothing that could be copied."
        )
    answer = detector.counterpart(planted) - detector.counterpart(images)
    return float((answer[where] * change[where]).sum() / (change[where] ** 2).sum())
