"""What an exported file computes is what the detector computes, also where others would differ."""

import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA

from adhelpers.detectors import (
    CAE,
    VAEGAN,
    AnoGAN,
    BackboneSettings,
    MemoryBank,
    ResidualScore,
    Subspace,
    export_onnx,
)
from adhelpers.detectors import onnx_export as module


def images(count, size=32, channels=1, seed=0):
    """Smooth good images on no plane."""
    random = np.random.default_rng(seed)
    noise = random.uniform(size=(count, size, size, channels))
    return gaussian_filter(noise, (0, 2, 2, 0)).astype("float32")


@pytest.fixture(scope="module")
def subspace():
    return Subspace(3).fit(images(8), images(3, seed=1))


def run(path, values):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["score", "anomaly_map"], {"image": values})


def test_the_file_equals_scipys_filter_on_a_defect_at_the_border(tmp_path):
    """Mirrored borders: any other rule for what lies outside gives another value in the corner."""
    train = images(8)
    scoring = ResidualScore("smooth_max", smoothing=3.0)
    detector = Subspace(3, scoring=scoring).fit(train, images(3, seed=1))
    new = images(2, seed=2)
    new[:, :3, :3] = 1
    export_onnx(detector, tmp_path / "s.onnx")
    scores, maps = run(tmp_path / "s.onnx", new)
    pca = PCA(3, svd_solver="full").fit(train.reshape(8, -1))
    projected = np.clip(pca.inverse_transform(pca.transform(new.reshape(2, -1))), 0, 1)
    residual = np.abs(new - projected.reshape(new.shape))[..., 0]
    expected = np.stack([gaussian_filter(one, 3.0) for one in residual])
    np.testing.assert_allclose(maps, expected, atol=1e-5)
    np.testing.assert_allclose(scores, expected.max(axis=(1, 2)), atol=1e-5)
    other = np.stack([gaussian_filter(one, 3.0, mode="constant") for one in residual])
    assert np.abs(maps - other).max() > 1e-2


@pytest.mark.parametrize(
    "scoring",
    [
        ResidualScore("max", "l2"),
        ResidualScore("sse", "absolute"),
        ResidualScore("mean", "ssim"),
        ResidualScore("top", "absolute", smoothing=0, top_fraction=0.1),
    ],
    ids=lambda scoring: f"{scoring.score} {scoring.residual}",
)
def test_every_residual_score_is_in_the_graph(scoring, tmp_path):
    detector = Subspace(3, scoring=scoring).fit(images(8, 16, 3), images(3, 16, 3, seed=1))
    export_onnx(detector, tmp_path / "s.onnx")
    new = images(5, 16, 3, seed=2)
    new[0, 5:8, 5:8] = 0
    scores, maps = run(tmp_path / "s.onnx", new)
    np.testing.assert_allclose(scores, detector.score(new), rtol=1e-4)
    np.testing.assert_allclose(maps, detector.anomaly_map(new), atol=1e-5)


def untrained(detector, mean):
    """With random weights, also where batches were never seen: a training takes longer."""
    detector.image_shape = mean.shape
    detector._build(*([mean] if isinstance(detector, VAEGAN) else []))
    networks = [detector.network] if isinstance(detector, CAE) else detector.networks.values()
    random = np.random.default_rng(0)
    for variable in (one for network in networks for one in network.variables):
        if "moving" in variable.path:
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return detector


@pytest.mark.parametrize(
    "detector",
    [
        VAEGAN("compact", width=0.1, latent_dim=4),
        VAEGAN("paper", width=0.1, latent_dim=4),
        CAE("mvtec", width=0.1, latent_dim=4),
        CAE("skip", width=0.1, latent_dim=4),
    ],
    ids=["compact", "paper", "mvtec", "skip"],
)
def test_networks_give_their_own_scores(detector, tmp_path):
    new = images(4, seed=2)
    new[0, 10:14, 10:14] = 1
    untrained(detector, images(8).mean(axis=0))
    export_onnx(detector, tmp_path / "n.onnx", images=images(3))
    scores, maps = run(tmp_path / "n.onnx", new)
    np.testing.assert_allclose(scores, detector.score(new), rtol=1e-4)
    np.testing.assert_allclose(maps, detector.anomaly_map(new), rtol=1e-3, atol=1e-6)


def test_a_memory_bank_searches_its_neighbours_in_the_graph(tmp_path):
    layers = BackboneSettings(weights="random", layers=("block1_conv2", "block2_conv1"))
    with pytest.warns(UserWarning, match="random"):
        detector = MemoryBank(backbone=layers, coreset=0.2)
        detector.fit(images(6), images(2, seed=1), show_progress=False)
    exported = export_onnx(detector, tmp_path / "bank.onnx")
    new = images(4, seed=2)
    new[0, 10:14, 10:14] = 1
    scores, maps = run(tmp_path / "bank.onnx", new)
    np.testing.assert_allclose(scores, detector.score(new), rtol=1e-4)
    assert scores.argmax() == 0 and np.unravel_index(maps[0].argmax(), (32, 32))[0] in range(6, 18)
    assert exported.score_difference < 1e-4


def test_features_are_rounded_as_half_precision_does():
    """A cast to half precision and back would be optimised away, and the scores be others."""
    random = np.random.default_rng(0)
    values = (random.normal(size=(2, 3, 3, 500)) * 10 ** random.uniform(-3, 4, 500)).astype("f4")
    half = values.astype(np.float16).astype("f4")
    assert np.abs(half - values).max() > 1
    # Half precision has fewer digits below 6e-5; nothing is lost by more.
    np.testing.assert_allclose(module._rounded(values).numpy(), half, rtol=0, atol=2.0**-25)
    values[1, 0, 0, 0] = 1e6
    np.testing.assert_array_equal(module._rounded(values).numpy()[1], values[1])


def test_the_file_says_what_it_is(subspace, tmp_path):
    path = tmp_path / "s.onnx"
    exported = export_onnx(subspace, path, metadata={"threshold": "0.5"})
    model = onnx.load(path)
    assert {one.key: one.value for one in model.metadata_props} == {
        "adhelpers.detector": "Subspace",
        "adhelpers.title": "subspace",
        "adhelpers.threshold": "0.5",
    }
    shapes = {
        one.name: [side.dim_param or side.dim_value for side in one.type.tensor_type.shape.dim]
        for one in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"image": ["n", 32, 32, 1], "anomaly_map": ["n", 32, 32], "score": ["n"]}
    text = " ".join(exported.findings())
    assert "float32 (n, 32, 32, 1) in [0, 1]" in text and "allowed: 1e-04" in text


def test_a_file_that_disagrees_is_not_written(subspace, tmp_path, monkeypatch):
    path = tmp_path / "s.onnx"
    path.write_text("before")
    other = Subspace(2).fit(images(8), images(3, seed=1))
    convert = module._converted
    monkeypatch.setattr(module, "_converted", lambda detector, *rest: convert(other, *rest))
    with pytest.raises(ValueError, match="was not written: its scores would differ"):
        export_onnx(subspace, path, images=images(3, seed=2))
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        (AnoGAN(), "a AnoGAN cannot be exported to ONNX; what can is Subspace"),
        (Subspace(3, scoring=ResidualScore("area")), "no operator for connected regions"),
        (VAEGAN(precision="bfloat16"), "train it with precision 'float32'"),
        (MemoryBank(backbone=BackboneSettings(precision="bfloat16")), "computes in bfloat16"),
    ],
    ids=["anogan", "area", "bfloat16", "backbone"],
)
def test_what_cannot_be_exported_is_refused(detector, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export_onnx(detector, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_a_wrong_name_and_a_detector_without_fit_are_refused(subspace, tmp_path):
    with pytest.raises(ValueError, match=r"model\.h5 must be the name of a file that ends in"):
        export_onnx(subspace, tmp_path / "model.h5")
    with pytest.raises(RuntimeError, match="not fitted yet"):
        export_onnx(Subspace(3), tmp_path / "x.onnx")
    # A bank of more than a file holds, without the memory for one.
    bank = MemoryBank()
    bank._search = type("Search", (), {"_bank": np.broadcast_to(np.float32(0), (10**6, 768))})()
    bank._search.__class__.__len__ = lambda self: 10**6
    bank.image_shape = (32, 32, 1)
    with pytest.raises(ValueError, match="1000000 patches.*smaller coreset"):
        module._converted(bank, "memory bank", (32, 32, 1), {})
