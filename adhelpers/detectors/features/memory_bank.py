"""A memory of good patches: what is far from all of them is anomalous (PatchCore)."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.random_projection import GaussianRandomProjection

from adhelpers._shared.arrays import Floats, Images, Maps, Scores
from adhelpers._shared.batches import Batched
from adhelpers._shared.checks import checked_images

from ..manifest import StoredFiles
from ..registry import register
from ..weights import load_arrays
from .backbones import BackboneSettings
from .detector import BATCH, FeatureDetector, check_neighbours
from .neighbours import NeighbourSearch, greedy_coreset, neighbour_distances
from .patches import FeatureSettings, rounded

_FILE = "bank.npz"
_SAMPLE = 20_000
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
    2106.08265). Nothing is trained: patches of good images are kept, thinned to a coreset. The
    anomaly map is the distance of each patch, interpolated and smoothed; the score is its maximum.
    The counterpart is the training image whose features at the same places are nearest.

    Parameters
    ----------
    features : FeatureSettings, optional
        Of patches; None is ``FeatureSettings("patch")``. The published form has
        ``scaling="none"``.
    backbone : BackboneSettings, optional
    coreset : float
        Share of the good patches that is kept, in (0, 1]; 1 keeps all.
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
        if neighbours < 1:
            raise ValueError(f"neighbours must be 1 or more, not {neighbours}")
        if projection is not None and projection < 1:
            raise ValueError(f"projection must be None or 1 dimension or more, not {projection}")
        self.coreset, self.projection = coreset, projection
        self.neighbours, self.memory_limit = neighbours, memory_limit

    @property
    def bank_size(self) -> int:
        """Number of patches kept."""
        self._require_fitted()
        return len(self._search)

    def _learn(self, train: Images, show_progress: bool) -> None:
        check_neighbours(self.neighbours, len(train))
        features = self._features_of(train, show_progress)
        patches = features.reshape(-1, features.shape[-1])
        random = np.random.default_rng(self.seed)
        sample = patches[np.sort(random.permutation(len(patches))[:_SAMPLE])].astype(np.float32)
        scale = self.features.scale(sample, self.network.channels())
        bank = patches
        if self.coreset < 1:
            bank = patches[self._chosen(patches, scale, show_progress)]
        # Half precision is a sixteenth of a grey level, and these are only shown or pasted.
        self._set(
            {
                "bank": bank,
                "scale": scale,
                "images": train.astype(np.float16),
                "keys": rounded(self._image_keys(features, scale)),
            }
        )

    def _chosen(
        self, patches: Floats, scale: NDArray[np.float32], show_progress: bool
    ) -> NDArray[np.int64]:
        """Indices of the patches to keep, at least as many as there are neighbours."""
        wanted = min(len(patches), max(self.neighbours, round(self.coreset * len(patches))))
        points = random_projection(patches, scale, self.projection, self.seed)
        return np.sort(greedy_coreset(points, wanted, seed=self.seed, show_progress=show_progress))

    def _set(self, arrays: dict[str, Any]) -> None:
        self._arrays = arrays
        self._set_good(arrays["images"], arrays["keys"])
        bank = arrays["bank"].astype(np.float32) * arrays["scale"]
        self._search = NeighbourSearch(bank, memory_limit=self.memory_limit)
        if self.neighbours > len(bank):
            raise ValueError(
                f"neighbours: {self.neighbours} nearest good patches were asked for, but the bank "
                f"holds {len(bank)}; ask for fewer, or keep more with a larger coreset"
            )

    def _keys(self, images: Images) -> Floats:
        return self._image_keys(self._features_of(images), self._arrays["scale"])

    def score_map_counterpart(self, images: Images) -> tuple[Scores, Maps, Images]:
        """What `score`, `anomaly_map` and `counterpart` return, from features computed once."""
        self._require_fitted()
        images = checked_images(images, self.image_shape)
        maps, nearest = [], []
        function = self._map_of_features
        to_map = self._batched.setdefault(function.__name__, Batched(function, BATCH))
        for start in range(0, len(images), BATCH):
            features = self._features_of(images[start : start + BATCH])
            maps.append(to_map(features.astype(np.float32)))
            keys = self._image_keys(features, self._arrays["scale"])
            nearest.append(self._nearest_good.find(keys)[1][:, 0])
        whole = np.concatenate(maps)
        counterparts = self._good[np.concatenate(nearest)].astype(np.float32)
        return whole.max(axis=(1, 2)), whole, counterparts

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
