"""A memory of good patches: what is far from all of them is anomalous (PatchCore)."""

import math
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.random_projection import GaussianRandomProjection

from adhelpers._shared.arrays import Floats, Images, Maps, Scores
from adhelpers._shared.large_arrays import allocated

from ..manifest import StoredFiles
from ..registry import register
from ..weights import load_arrays
from .backbones import BackboneSettings
from .coreset import StreamedCoreset
from .detector import FeatureDetector, check_neighbours, half_precision, kept_images
from .neighbours import NeighbourSearch, neighbour_distances
from .patches import FeatureSettings, rounded

_FILE = "bank.npz"
# The scale of features follows from so many patches, of so many images where not all of them are in
# memory.
_SAMPLE, _SCALE_IMAGES = 20_000, 128
_KEY_DIMENSIONS = 32


def random_projection(
    points: Floats, scale: NDArray[np.float32], dimensions: int | None, seed: int
) -> NDArray[np.float32]:
    """Scaled features in fewer random dimensions, in which distances are nearly kept.

    Johnson and Lindenstrauss, "Extensions of Lipschitz mappings into a Hilbert space", 1984.

    Parameters
    ----------
    points : ndarray, shape (m, d)
    scale : ndarray, shape (d,)
    dimensions : int or None
        None, or d or more, projects nothing.
    seed : int

    Returns
    -------
    ndarray of float32, shape (m, dimensions)

    Examples
    --------
    >>> random_projection(np.ones((3, 100), np.float16), np.ones(100, np.float32), 8, seed=0).shape
    (3, 8)
    """
    if dimensions is None or dimensions >= points.shape[1]:
        return points.astype(np.float32) * scale
    projection = GaussianRandomProjection(dimensions, random_state=seed).fit(
        np.zeros((1, points.shape[1]), np.float32)
    )
    matrix = (projection.components_.T * scale[:, None]).astype(np.float32)
    # In parts, because the features come in half precision and there are many.
    return np.concatenate(
        [
            points[start : start + 8192].astype(np.float32) @ matrix
            for start in range(0, len(points), 8192)
        ]
    )


@register
class MemoryBank(FeatureDetector):
    """PatchCore: how far each patch is from the patches of good images, in a network's features.

    Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022 (arXiv
    2106.08265). Nothing is trained: patches of good images are kept, thinned to a coreset
    (`StreamedCoreset`, so that features need not be in memory all at once). The anomaly map is the
    distance of each patch, interpolated and smoothed; the score is its maximum. The counterpart is
    composed of the training images, of those that are kept (`kept_images`), whose features at the
    same places are nearest.

    Parameters
    ----------
    features : FeatureSettings, optional
        Of patches; None is ``FeatureSettings("patch")``. The published form has
        ``scaling="none"``.
    backbone : BackboneSettings, optional
    coreset : float
        Share of the good patches that is kept, in (0, 1]; 1 keeps all.
    bank_limit : int or None
        Maximum number of patches that are kept, whatever the share: the time that an image takes
        does not grow with the number of training images. None sets no bound.
    projection : int or None
        Dimensions of the random projection (Johnson and Lindenstrauss) in which the coreset is
        chosen; None chooses in all.
    neighbours : int
        Number of nearest patches whose mean distance counts; 1 in the published form.
    smoothing : float
        Standard deviation of the Gaussian over the map, in pixels.
    memory_limit : float
        As in `NeighbourSearch`.
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
    title = "memory bank"
    scoring_parameters: ClassVar[tuple[str, ...]] = ("neighbours", "smoothing", "memory_limit")

    def __init__(
        self,
        features: FeatureSettings | None = None,
        backbone: BackboneSettings | None = None,
        *,
        coreset: float = 0.1,
        bank_limit: int | None = 10_000,
        projection: int | None = 128,
        neighbours: int = 3,
        smoothing: float = 4.0,
        memory_limit: float = 32,
        seed: int = 0,
    ) -> None:
        super().__init__(
            features or FeatureSettings("patch"), backbone or BackboneSettings(), smoothing, seed
        )
        if self.features.level != "patch":
            raise ValueError('features: a memory bank needs FeatureSettings("patch")')
        if not 0 < coreset <= 1:
            raise ValueError(f"coreset must be a share in (0, 1], not {coreset}")
        if bank_limit is not None and bank_limit < 1:
            raise ValueError(f"bank_limit must be None or 1 patch or more, not {bank_limit}")
        if neighbours < 1:
            raise ValueError(f"neighbours must be 1 or more, not {neighbours}")
        if projection is not None and projection < 1:
            raise ValueError(f"projection must be None or 1 dimension or more, not {projection}")
        self.coreset, self.bank_limit, self.projection = coreset, bank_limit, projection
        self.neighbours, self.memory_limit = neighbours, memory_limit

    @property
    def bank_size(self) -> int:
        """Number of patches kept."""
        self._require_fitted()
        return len(self._search)

    def unfitted_copy(self, count: int | None = None) -> Self:
        """See `Detector.unfitted_copy`."""
        neighbours = self.neighbours if count is None else min(self.neighbours, count)
        return type(self).from_parameters(self.parameters, neighbours=neighbours)

    def _learn(self, train: Images, show_progress: bool) -> None:
        check_neighbours(self.neighbours, len(train))
        kept, keys, scale = kept_images(train, self.seed), list[Floats](), None
        coreset = StreamedCoreset(self._wanted(train), seed=self.seed)
        for block, features in self._blocks(train, show_progress):
            if scale is None:
                scale = self._scale_of(train, features)
            patches = features.reshape(-1, features.shape[-1])
            points = random_projection(patches, scale, self.projection, self.seed)
            coreset.add(points, patches, show_progress=show_progress)
            for index in kept[(kept >= block.start) & (kept < block.stop)] - block.start:
                keys.append(rounded(self._image_keys(features[index : index + 1], scale)[0]))
        self._set(
            {
                "bank": coreset.chosen(show_progress=show_progress),
                "scale": scale,
                "images": half_precision(train, kept),
                "keys": np.stack(keys),
            }
        )

    def _wanted(self, train: Images) -> int:
        """Number of patches to keep, at least as many as there are neighbours."""
        patches = len(train) * math.prod(self.features.grid(self.network.image_shape))
        wanted = round(self.coreset * patches)
        if self.bank_limit is not None:
            wanted = min(wanted, self.bank_limit)
        return min(patches, max(self.neighbours, wanted))

    def _scale_of(self, train: Images, features: Floats) -> NDArray[np.float32]:
        """The scale of features, from those of all images or of some from the whole set."""
        if len(features) < len(train):
            spread = np.linspace(0, len(train) - 1, min(len(features), _SCALE_IMAGES))
            features = self._features_of(train[spread.astype(int)])
        patches = features.reshape(-1, features.shape[-1])
        random = np.random.default_rng(self.seed)
        sample = patches[np.sort(random.permutation(len(patches))[:_SAMPLE])].astype(np.float32)
        return self.features.scale(sample, self.network.channels())

    def _set(self, arrays: dict[str, Any]) -> None:
        self._arrays = arrays
        self._set_good(arrays["images"], arrays["keys"])
        bank = arrays["bank"].astype(np.float32) * arrays["scale"]
        self._search = NeighbourSearch(bank, memory_limit=self.memory_limit)
        if self.neighbours > len(bank):
            raise ValueError(
                f"neighbours: {self.neighbours} nearest good patches were asked for, but the bank "
                f"holds {len(bank)}; ask for fewer, or for a larger coreset or bank_limit"
            )

    def _keys(self, images: Images) -> Floats:
        return self._image_keys(self._features_of(images), self._arrays["scale"])

    def score_map_counterpart(self, images: Images) -> tuple[Scores, Maps, Images]:
        """What `score`, `anomaly_map` and `counterpart` return, from features computed once."""
        to_map, scores, start = self._compiled(self._map_of_features), list[Scores](), 0
        parts = self._parts(images)
        maps = allocated((len(images), *self.network.image_shape[:2]))
        counterparts = allocated((len(images), *self.network.image_shape))
        for part in parts:
            features = self._features_of(part)
            block = slice(start, start + len(part))
            maps[block] = to_map(features.astype(np.float32))
            keys = self._image_keys(features, self._arrays["scale"])
            counterparts[block] = self._composed(part, keys)
            scores.append(maps[block].max(axis=(1, 2)))
            start = block.stop
        return np.concatenate(scores), maps, counterparts

    def _image_keys(self, features: Floats, scale: NDArray[np.float32]) -> NDArray[np.float32]:
        """Short vectors of images whose distances are nearly those of their patches, by place."""
        return np.stack(
            [
                random_projection(
                    one.reshape(-1, one.shape[-1]), scale, _KEY_DIMENSIONS, self.seed
                ).ravel()
                for one in features
            ]
        )

    def _cells_of_features(self, features: tf.Tensor) -> tf.Tensor:
        patches = tf.reshape(features * self._arrays["scale"], (-1, features.shape[-1]))
        distances = neighbour_distances(patches, self._search, self.neighbours)
        rows, columns = self.features.grid(self.network.image_shape)
        return tf.reshape(tf.reduce_mean(distances, axis=-1), (-1, rows, columns))

    def _write(self, folder: Path) -> dict[str, Any]:
        np.savez(folder / _FILE, **self._arrays)
        return self._write_backbone()

    def _read(self, files: StoredFiles, manifest: dict[str, Any]) -> None:
        self._read_backbone(files.folder, manifest)
        self._set(load_arrays(files / _FILE))
