"""A memory of good patches: what is far from all of them is anomalous (PatchCore)."""

import numpy as np
import tensorflow as tf

from adhelpers._shared.checks import checked_images
from adhelpers._shared.progress import progress

from ..registry import register
from .detector import (
    SCALINGS,
    FeatureDetector,
    check_neighbours,
    feature_scale,
    image_keys,
    random_projection,
)
from .neighbours import (
    CORESETS,
    SEARCHES,
    LocalNeighbourSearch,
    NeighbourSearch,
    greedy_coreset,
    neighbour_distances,
)
from .patches import FeatureSettings

IMAGE_SCORES = ("smooth_max", "max", "reweighted")
COUNTERPARTS = ("image", "patchwork")
_FILE = "bank.npz"
_SAMPLE = 20_000


def reweighted_score(distance, neighbour_distances):
    """The published image score: a patch whose nearest good patch is itself an outlier counts more.

    ``(1 - exp(d) / sum(exp(d_i))) * d`` with d the distance of the image's most anomalous patch to
    its nearest good patch m, and d_i its distances to the good patches nearest to m, m among them:
    equation 7 of arXiv 2106.08265.

    Parameters
    ----------
    distance : tensor of float32, shape (n,)
    neighbour_distances : tensor of float32, shape (n, b)
        Their first is ``distance`` itself.

    Returns
    -------
    tensor of float32, shape (n,)

    Examples
    --------
    >>> float(reweighted_score(tf.constant([2.0]), tf.constant([[2.0, 2.0]]))[0])
    1.0
    """
    # The difference of logarithms: exp of a distance in the hundreds is beyond float32.
    return (1 - tf.exp(distance - tf.reduce_logsumexp(neighbour_distances, axis=1))) * distance


@register
class MemoryBank(FeatureDetector):
    """PatchCore: the distance of each patch to the nearest patches of good images, in the features of a pretrained network.

    Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022 (arXiv
    2106.08265). Nothing is trained: patches of good images are kept, thinned to a coreset.

    Parameters
    ----------
    backbone, weights, layers, precision
        As in `Backbone`.
    stride, local_average
        As in `patch_features`.
    scaling : {"none", "layer", "channel"}
        As in `feature_scale`; the published form is ``"none"``.
    coreset : float
        Share of the good patches that is kept, in (0, 1]; 1 keeps all.
    coreset_method : {"exact", "approximate", "random"}
        As in `greedy_coreset`.
    projection : int or None
        Dimensions of the random projection (Johnson and Lindenstrauss) in which the coreset is
        chosen; None chooses in all.
    neighbourhood : int or None
        For objects that always lie alike: a patch is compared only with good patches of its own
        place, or at most so many cells away in rows and columns; the coreset is then chosen for
        each place. None compares with all.
    neighbours : int
        The mean distance to so many nearest patches counts; 1 in the published form.
    image_score : {"smooth_max", "max", "reweighted"}
        The maximum of the anomaly map, the highest distance of a patch before interpolation and
        smoothing, or the published one (see `reweighted_score`).
    reweighting : int
        Good patches around the nearest one, itself included, for ``"reweighted"``.
    smoothing : float
        Standard deviation of the Gaussian in pixels.
    counterpart : {"image", "patchwork"}
        What `counterpart` gives: the good image whose features at the same places are nearest, or a
        patchwork of the nearest good patches, each blended into the next.
    search, memory_limit
        As in `nearest_neighbours`.
    seed : int

    Attributes
    ----------
    bank_size : int
        Patches kept.

    Raises
    ------
    ValueError
        If a parameter is out of range or, in `fit`, there are fewer images than neighbours or they
        are smaller than the network takes.

    Examples
    --------
    >>> good = np.random.default_rng(0).uniform(size=(5, 32, 32, 1)).astype("float32")
    >>> detector = MemoryBank(coreset=0.5).fit(good[:4], good[4:], show_progress=False)
    >>> detector.bank_size, detector.anomaly_map(good[4:]).shape
    (32, (1, 32, 32))
    """

    name = "memory_bank"
    scoring_parameters = (
        "neighbours",
        "image_score",
        "reweighting",
        "smoothing",
        "counterpart",
        "search",
        "memory_limit",
    )

    def __init__(
        self,
        backbone="vgg16",
        weights="hed",
        layers=None,
        *,
        stride=8,
        local_average=3,
        scaling="layer",
        coreset=0.1,
        coreset_method="exact",
        projection=128,
        neighbourhood=None,
        neighbours=3,
        image_score="smooth_max",
        reweighting=9,
        smoothing=4.0,
        counterpart="image",
        search="auto",
        memory_limit=256,
        precision="float32",
        seed=0,
    ):
        for name, value, allowed in [
            ("scaling", scaling, SCALINGS),
            ("coreset_method", coreset_method, CORESETS),
            ("search", search, SEARCHES),
            ("image_score", image_score, IMAGE_SCORES),
            ("counterpart", counterpart, COUNTERPARTS),
        ]:
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
        if not 0 < coreset <= 1:
            raise ValueError(f"coreset must be a share in (0, 1], not {coreset}.")
        if neighbours < 1 or reweighting < 2:
            raise ValueError(
                f"neighbours must be 1 or more and reweighting 2 or more, not {neighbours} and {reweighting}."
            )
        if neighbourhood is not None and (
            isinstance(neighbourhood, bool)
            or neighbourhood != int(neighbourhood)
            or neighbourhood < 0
        ):
            raise ValueError(
                f"neighbourhood must be None or a whole number of cells, 0 or more, not {neighbourhood!r}."
            )
        if projection is not None and projection < 1:
            raise ValueError(f"projection must be None or 1 dimension or more, not {projection}.")
        if smoothing < 0:
            raise ValueError(f"smoothing must be 0 or more pixels, not {smoothing}.")
        super().__init__(
            backbone=backbone,
            weights=str(weights),
            layers=None if layers is None else list(layers),
            stride=stride,
            local_average=local_average,
            scaling=scaling,
            coreset=coreset,
            coreset_method=coreset_method,
            projection=projection,
            neighbourhood=neighbourhood,
            neighbours=neighbours,
            image_score=image_score,
            reweighting=reweighting,
            smoothing=smoothing,
            counterpart=counterpart,
            search=search,
            memory_limit=memory_limit,
            precision=precision,
            seed=seed,
        )
        self._feature_settings = FeatureSettings(
            "patch", stride=stride, local_average=local_average
        )

    @property
    def bank_size(self):
        self._require_fitted()
        return len(self._search)

    def fit(self, train, validation, *, checkpoint=None, show_progress=True):
        """Keep the good patches; see `Detector.fit`. An open `feature_cache` is what an interrupted run goes on from."""
        train = checked_images(train, name="train")
        checked_images(validation, train.shape[1:], name="validation")
        check_neighbours(self.parameters["neighbours"], len(train))
        self._build(train.shape[1:])
        try:
            features = self._features(train, show_progress)
            self._set(self._kept(features, train, show_progress))
        except BaseException:
            self.image_shape = None
            raise
        return self

    def _kept(self, features, train, show_progress):
        """The arrays that make up the detector."""
        seed, (count, rows, columns, channels) = self.parameters["seed"], features.shape
        patches = features.reshape(-1, channels)
        random = np.random.default_rng(seed)
        sample = patches[np.sort(random.permutation(len(patches))[:_SAMPLE])].astype(np.float32)
        scale = feature_scale(
            sample,
            [one.shape[-1] for one in self.backbone.network.outputs],
            self.parameters["scaling"],
        )
        keys = image_keys(features, scale, seed)
        share, method = self.parameters["coreset"], self.parameters["coreset_method"]
        if self.parameters["neighbourhood"] is None:
            chosen = np.arange(len(patches))
            if share < 1:
                points = random_projection(patches, scale, self.parameters["projection"], seed)
                chosen = np.sort(
                    greedy_coreset(
                        points,
                        self._bank_count(len(patches)),
                        method=method,
                        seed=seed,
                        show_progress=show_progress,
                    )
                )
        else:
            # Place after place, as the local search takes them.
            order = np.arange(len(patches)).reshape(count, rows * columns).T
            if share < 1:
                wanted = self._bank_count(count)
                order = np.stack(
                    [
                        place[
                            np.sort(
                                greedy_coreset(
                                    random_projection(
                                        patches[place], scale, self.parameters["projection"], seed
                                    ),
                                    wanted,
                                    method=method,
                                    seed=seed,
                                )
                            )
                        ]
                        for place in progress(order, description="coreset", enabled=show_progress)
                    ]
                )
            chosen = order.ravel()
        # Half precision is a sixteenth of a grey level, and these are only shown or pasted.
        return {
            "bank": patches[chosen],
            "sources": chosen.astype(np.int64),
            "scale": scale,
            "images": train.astype(np.float16),
            "keys": keys.astype(np.float16),
        }

    def _bank_count(self, available):
        """Patches to keep, enough for what is asked of them."""
        needed = self.parameters["neighbours"]
        return min(available, max(needed, round(self.parameters["coreset"] * available)))

    def _set(self, arrays):
        self._arrays, parameters = arrays, self.parameters
        self._grid = self._feature_settings.grid(self.image_shape)
        bank = arrays["bank"].astype(np.float32) * arrays["scale"]
        if parameters["neighbourhood"] is None:
            self._search = NeighbourSearch(
                bank, search=parameters["search"], memory_limit=parameters["memory_limit"]
            )
        else:
            bank = bank.reshape(*self._grid, -1, bank.shape[-1])
            self._search = LocalNeighbourSearch(
                bank, parameters["neighbourhood"], memory_limit=parameters["memory_limit"]
            )

        least = (
            len(self._search)
            if parameters["neighbourhood"] is None
            else len(self._search.compared_at(0, 0))
        )
        for name in (
            ("neighbours", "reweighting")
            if parameters["image_score"] == "reweighted"
            else ("neighbours",)
        ):
            if parameters[name] > least:
                raise ValueError(
                    f"{name}: {parameters[name]} nearest good patches were asked for, but a patch is compared with {least}; ask for fewer, or keep "
                    "more with a larger coreset or neighbourhood."
                )

    def _distances(self, features):
        """Scaled patches and their distances to the nearest good ones, nearest first: (n, rows, columns, neighbours)."""
        patches = features * self._arrays["scale"]
        count = self.parameters["neighbours"]
        if self.parameters["neighbourhood"] is not None:
            return patches, neighbour_distances(patches, self._search, count)
        flat = neighbour_distances(
            tf.reshape(patches, (-1, patches.shape[-1])), self._search, count
        )
        return patches, tf.reshape(flat, (-1, *self._grid, count))

    def _cells_of_features(self, features):
        return tf.reduce_mean(self._distances(features)[1], axis=-1)

    def _score_of_features(self, features):
        kind = self.parameters["image_score"]
        if kind == "smooth_max":
            return super()._score_of_features(features)
        patches, distances = self._distances(features)
        if kind == "max":
            return tf.reduce_max(tf.reduce_mean(distances, axis=-1), axis=(1, 2))
        places = self._grid[0] * self._grid[1]
        nearest = tf.reshape(distances[..., 0], (-1, places))
        worst = tf.argmax(nearest, axis=1)
        patch = tf.gather(
            tf.reshape(patches, (-1, places, patches.shape[-1])), worst, axis=1, batch_dims=1
        )
        around = tf.numpy_function(self._around, [patch, worst], tf.float32, stateful=False)
        around = tf.ensure_shape(around, (None, self.parameters["reweighting"], patches.shape[-1]))
        # The root has no slope at 0.
        to_around = tf.sqrt(tf.reduce_sum((patch[:, None] - around) ** 2, axis=-1) + 1e-12)
        return reweighted_score(tf.reduce_max(nearest, axis=1), to_around)

    def _around(self, patches, places):
        """The good patches around the one that is nearest to each patch: (n, reweighting, d)."""
        wanted = self.parameters["reweighting"]
        if self.parameters["neighbourhood"] is None:
            nearest = self._search.points(self._search.find(patches)[1][:, 0])
            return self._search.points(self._search.find(nearest, wanted)[1])
        found = []
        for patch, place in zip(patches, places, strict=True):
            candidates = self._search.points(
                self._search.compared_at(*divmod(int(place), self._grid[1]))
            )
            search = NeighbourSearch(
                candidates, search="numpy", memory_limit=self.parameters["memory_limit"]
            )
            nearest = search.points(search.find(patch[None])[1][:, 0])
            found.append(search.points(search.find(nearest, wanted)[1][0]))
        return np.stack(found)

    @property
    def counterpart_name(self):
        return (
            "nearest good patches"
            if self.parameters["counterpart"] == "patchwork"
            else super().counterpart_name
        )

    def counterpart(self, images):
        self._require_fitted()
        images, parts = checked_images(images, self.image_shape), []
        for start in range(0, len(images), 16):
            features = self._features(images[start : start + 16])
            if self.parameters["counterpart"] == "patchwork":
                parts.append(self._patchwork(features.astype(np.float32) * self._arrays["scale"]))
                continue
            keys = image_keys(features, self._arrays["scale"], self.parameters["seed"])
            search = NeighbourSearch(
                self._arrays["keys"], search="numpy", memory_limit=self.parameters["memory_limit"]
            )
            parts.append(self._arrays["images"][search.find(keys)[1][:, 0]].astype(np.float32))
        return np.concatenate(parts)

    def _patchwork(self, patches):
        rows, columns = self._grid
        queries = (
            patches
            if self.parameters["neighbourhood"] is not None
            else patches.reshape(-1, patches.shape[-1])
        )
        sources = self._arrays["sources"][self._search.find(queries)[1]].reshape(
            len(patches), rows, columns
        )
        number, from_row, from_column = np.unravel_index(
            sources, (len(self._arrays["images"]), rows, columns)
        )
        # Windows of twice a patch's side that fall off linearly: neighbours share each pixel.
        height, width = self.image_shape[:2]
        reach = int(np.ceil(max(height / rows, width / columns)))
        ramp = 1 - np.abs(np.arange(-reach, reach) + 0.5) / reach
        window = (ramp[:, None] * ramp)[..., None]
        good = np.pad(
            self._arrays["images"], ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge"
        )
        canvas = np.zeros((len(patches), *good.shape[1:]), np.float64)
        weights = np.zeros(good.shape[1:3])[..., None]
        span, tops = (
            np.arange(2 * reach),
            np.rint((np.arange(rows) + 0.5) * height / rows).astype(int),
        )
        lefts = np.rint((np.arange(columns) + 0.5) * width / columns).astype(int)
        for row in range(rows):
            for column in range(columns):
                down, right = (
                    tops[from_row[:, row, column]][:, None] + span,
                    lefts[from_column[:, row, column]][:, None] + span,
                )
                pieces = good[
                    number[:, row, column][:, None, None], down[:, :, None], right[:, None, :]
                ]
                place = (
                    slice(tops[row], tops[row] + 2 * reach),
                    slice(lefts[column], lefts[column] + 2 * reach),
                )
                canvas[:, *place] += window * pieces
                weights[place] += window
        inside = slice(reach, -reach), slice(reach, -reach)
        return np.clip(canvas[:, *inside] / weights[inside], 0, 1).astype(np.float32)

    def _write(self, folder):
        np.savez(folder / _FILE, **self._arrays)
        return self._write_backbone()

    def _read(self, folder, manifest):
        self._read_backbone(folder, manifest)
        with np.load(folder / _FILE, allow_pickle=False) as file:
            self._set(dict(file))
