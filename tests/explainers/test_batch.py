import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from adhelpers._shared.array_files import read_arrays, write_arrays
from adhelpers._shared.stages import forget_stages, stage_seconds
from adhelpers.detectors import Subspace
from adhelpers.explainers import (
    Explanation,
    Sampling,
    Superpixels,
    batch,
    explain_images,
    explain_with_lime,
    explain_with_repair,
    explain_with_shap,
    noise,
    residual_map,
    versioned,
)
from adhelpers.explainers.batch import _parameters
from adhelpers.explainers.superpixels import segment_superpixels

calls = []


def brightness(images):
    return images.mean((1, 2, 3))


@versioned(1)
def counted(score, image, counterpart, *, seed=0, gain=1.0, places=None):
    """An explainer that tells how often it was called."""
    calls.append(float(image[0, 0, 0]))
    details = {
        "gain": gain,
        "seed": seed,
        "weights": np.arange(3),
        "r2": np.float32(0.5),
        "nothing": None,
        "undefined": np.nan,
    }
    return Explanation(gain * (image - counterpart)[..., 0], details)


@versioned(1)
def fails_on_dark(score, image, counterpart, *, seed=0):
    if image[0, 0, 0] < 0.5:
        raise ArithmeticError("too dark")
    return Explanation(image[..., 0])


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


def series(count, shape=(6, 4, 1)):
    levels = (1 + np.arange(count, dtype=np.float32)) / count
    return np.broadcast_to(levels[:, None, None, None], (count, *shape)).copy(), np.zeros(
        (count, *shape), np.float32
    )


def run(explainer, images, counterparts, score=brightness, **options):
    return explain_images(explainer, score, images, counterparts, show_progress=False, **options)


@pytest.mark.parametrize(
    "explainer",
    [
        residual_map,
        noise,
        partial(explain_with_lime, sampling=Sampling(64), superpixels=Superpixels(8)),
        partial(explain_with_shap, max_evaluations=32),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_same_as_one_by_one(explainer, channels):
    images = np.random.default_rng(0).random((3, 16, 12, channels), dtype=np.float32)
    result = run(explainer, images, images[::-1], seed=3)
    assert result.heatmaps.shape == (3, 16, 12) and result.heatmaps.dtype == np.float32
    assert result.errors == {} and result.seconds > 0
    for index in range(3):
        single = explainer(brightness, images[index], images[2 - index], seed=3)
        np.testing.assert_array_equal(result.heatmaps[index], single.heatmap)
        assert result.details[index].keys() == single.details.keys()


def test_one_bad_image_does_not_end_the_batch():
    images, counterparts = series(4)
    images[2, 1, 1] = np.nan
    result = run(residual_map, images, counterparts)
    assert (
        result.errors == {2: "ValueError: image holds NaN or infinite values"}
        and result.details[2] == {}
    )
    assert np.isnan(result.heatmaps[2]).all() and np.isfinite(result.heatmaps[[0, 1, 3]]).all()


def test_failing_explainer_is_recorded_with_and_without_store(tmp_path):
    images, counterparts = series(4)
    for store in (None, tmp_path):
        result = run(fails_on_dark, images, counterparts, store=store)
        assert result.errors == {0: "ArithmeticError: too dark"}


def test_every_image_failing_is_an_error_with_its_cause():
    images, counterparts = series(3)
    with pytest.raises(
        RuntimeError, match="none of the 3 images .* first error was ArithmeticError"
    ) as caught:
        run(fails_on_dark, images * 0.1, counterparts)
    assert isinstance(caught.value.__cause__, ArithmeticError)


def returns_nan(score, image, counterpart, *, seed=0):
    return Explanation(np.full(image.shape[:2], np.nan) if image[0, 0, 0] < 0.5 else image[..., 0])


def returns_array(score, image, counterpart, *, seed=0):
    return image[..., 0]


def test_explainer_that_returns_something_else():
    images, counterparts = series(4)
    assert run(returns_nan, images, counterparts).errors == {
        0: "ValueError: the explainer returned NaN or infinite values"
    }
    with pytest.raises(
        RuntimeError, match="must return an Explanation with a heatmap of the shape"
    ):
        run(returns_array, images, counterparts)


def test_no_images():
    result = run(residual_map, np.zeros((0, 4, 4, 1)), np.zeros((0, 4, 4, 1)))
    assert result.heatmaps.shape == (0, 4, 4) and result.details == [] and result.errors == {}


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r"must both have the shape .* not \(2, 4, 4\)"):
        run(residual_map, np.zeros((2, 4, 4)), np.zeros((2, 4, 4)))
    with pytest.raises(ValueError, match="must both have the shape"):
        run(residual_map, np.zeros((2, 4, 4, 1)), np.zeros((3, 4, 4, 1)))


def test_progress_goes_to_the_status_file(tmp_path, monkeypatch):
    monkeypatch.setenv("ADHELPERS_STATUS_FILE", str(tmp_path / "status"))
    explain_images(fails_on_dark, None, *series(4), description="LIME")
    assert (tmp_path / "status").read_text() == "LIME 4/4 1 failed"


def test_store_gives_back_what_was_computed(tmp_path):
    images, counterparts = series(5)
    first = run(counted, images, counterparts, seed=2, store=tmp_path / "deep" / "store")
    second = run(counted, images, counterparts, seed=2, store=tmp_path / "deep" / "store")
    assert len(calls) == 5 == len(list((tmp_path / "deep" / "store").iterdir()))
    np.testing.assert_array_equal(first.heatmaps, second.heatmaps)
    for before, after in zip(first.details, second.details, strict=True):
        np.testing.assert_array_equal(before.pop("weights"), after.pop("weights"))
        assert np.isnan(before.pop("undefined")) and np.isnan(after.pop("undefined"))
        assert before == after


def test_store_keeps_real_explanations(tmp_path):
    images = np.random.default_rng(0).random((2, 16, 16, 1), dtype=np.float32)
    for explainer in (
        partial(explain_with_lime, sampling=Sampling("auto"), superpixels=Superpixels(8)),
        explain_with_shap,
    ):
        first, second = (run(explainer, images, images[::-1], store=tmp_path) for _ in range(2))
        np.testing.assert_array_equal(first.heatmaps, second.heatmaps)
        np.testing.assert_equal(first.details, second.details)


@pytest.mark.parametrize(
    "change", ["image", "counterpart", "seed", "score", "parameter", "array parameter", "explainer"]
)
def test_store_is_not_used_for_anything_else(tmp_path, change):
    images, counterparts = series(3)
    explain = partial(counted, gain=1.0, places=np.arange(3))
    run(explain, images, counterparts, store=tmp_path)
    calls.clear()
    changed = {
        "image": lambda: run(explain, images * 0.99, counterparts, store=tmp_path),
        "counterpart": lambda: run(explain, images, counterparts + 0.01, store=tmp_path),
        "seed": lambda: run(explain, images, counterparts, seed=1, store=tmp_path),
        "score": lambda: run(
            explain,
            images,
            counterparts,
            score=lambda shown: 1.001 * brightness(shown),
            store=tmp_path,
        ),
        "parameter": lambda: run(partial(explain, gain=2.0), images, counterparts, store=tmp_path),
        "array parameter": lambda: run(
            partial(explain, places=np.arange(4)), images, counterparts, store=tmp_path
        ),
        "explainer": lambda: run(residual_map, images, counterparts, store=tmp_path),
    }[change]
    changed()
    assert len(calls) == (0 if change == "explainer" else 3)
    assert len(list(tmp_path.iterdir())) == 6


def test_another_version_is_computed_again_and_the_earlier_one_found(tmp_path):
    images, counterparts = series(3)
    first = run(counted, images, counterparts, store=tmp_path)
    try:
        versioned(2)(counted)
        run(counted, images, counterparts, store=tmp_path)
        assert len(calls) == 6 and len(list(tmp_path.iterdir())) == 6
        versioned(1)(counted)
        again = run(counted, images, counterparts, store=tmp_path)
        assert len(calls) == 6
        np.testing.assert_array_equal(first.heatmaps, again.heatmaps)
    finally:
        versioned(1)(counted)


def test_another_version_of_the_segments_concerns_the_explainers_that_use_them(tmp_path):
    images = np.random.default_rng(0).random((1, 16, 16, 1), dtype=np.float32)
    lime = partial(explain_with_lime, sampling=Sampling(64), superpixels=Superpixels(8))

    def files_after(explainer):
        run(explainer, images, images[::-1], store=tmp_path)
        return len(list(tmp_path.iterdir()))

    assert files_after(lime) == 1 and files_after(explain_with_shap) == 2
    try:
        versioned(1000)(segment_superpixels)
        assert files_after(explain_with_shap) == 2 and files_after(lime) == 3
    finally:
        versioned(1)(segment_superpixels)
    assert files_after(lime) == 3


def test_keys_hold_names_versions_and_parameters_and_nothing_that_changes_with_python():
    assert _parameters(partial(residual_map, smoothing=0.1)) == (
        '["adhelpers.explainers.baselines.residual_map", '
        '{"adhelpers.explainers.baselines.residual_map": 1}, {"smoothing": 0.1}]'
    )
    name, versions, parameters = json.loads(
        _parameters(partial(explain_with_lime, sampling=Sampling(257)))
    )
    assert list(versions) == [name, "adhelpers.explainers.superpixels.segment_superpixels"]
    assert parameters == {
        "segments": None,
        "superpixels": {"num_segments": 100, "source": "blend"},
        "sampling": {
            "num_samples": 257,
            "design": "orthogonal",
            "agreement": 0.95,
            "max_samples": 4096,
        },
        "kernel_width": 0.25,
        "batch_size": 16,
    }


def without_version(score, image, counterpart, *, seed=0):
    return Explanation(image[..., 0])


def test_an_explainer_without_a_version_is_refused_with_a_store(tmp_path):
    images, counterparts = series(2)
    assert run(without_version, images, counterparts).errors == {}
    for explainer in (without_version, partial(without_version)):
        with pytest.raises(
            ValueError, match=r"without_version has no version.* write @versioned\(1\)"
        ):
            run(explainer, images, counterparts, store=tmp_path)


def test_table_and_findings():
    images, counterparts = series(4)
    result = run(fails_on_dark, images, counterparts)
    assert result.table()["error"].tolist() == ["ArithmeticError: too dark", "", "", ""]
    assert result.findings() == [
        "1 of 4 images could not be explained; the first is image 0: ArithmeticError: too dark"
    ]
    whole = run(counted, images, counterparts)
    assert whole.findings() == [] and whole.table().columns.tolist() == [
        "gain",
        "seed",
        "r2",
        "undefined",
        "error",
    ]


def test_the_stage_is_measured():
    forget_stages()
    run(counted, *series(2), description="LIME")
    assert list(stage_seconds()) == ["explanations: LIME"]


def test_defaults_given_or_not_are_the_same_parameters(tmp_path):
    images, counterparts = series(2)
    run(counted, images, counterparts, store=tmp_path)
    run(partial(partial(counted, gain=3.0), gain=1.0), images, counterparts, store=tmp_path)
    assert len(calls) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-30],
        lambda data: b"",
        lambda data: b"PK\x03\x04" + data[4:40],
        lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    ],
)
def test_damaged_file_is_computed_again(tmp_path, damage):
    images, counterparts = series(2)
    first = run(counted, images, counterparts, store=tmp_path)
    file = sorted(tmp_path.iterdir())[0]
    file.write_bytes(damage(file.read_bytes()))
    second = run(counted, images, counterparts, store=tmp_path)
    assert len(calls) == 3
    np.testing.assert_array_equal(first.heatmaps, second.heatmaps)
    run(counted, images, counterparts, store=tmp_path)
    assert len(calls) == 3


def test_file_of_another_form_is_computed_again(tmp_path):
    images, counterparts = series(1)
    run(counted, images, counterparts, store=tmp_path)
    (file,) = tmp_path.iterdir()
    good = read_arrays(file)
    for changed in (
        {"heatmap": np.zeros((2, 2), np.float32)},
        {"heatmap": np.zeros((2, 6, 4), np.float32)},
        {"heatmap": np.zeros((6, 4), np.float64)},
        {"heatmap": np.zeros((6, 4), np.complex64)},
        {"heatmap": np.full((6, 4), np.nan, np.float32)},
        {"heatmap": np.where(np.eye(6, 4), np.inf, 0).astype(np.float32)},
        {"details": np.frombuffer(b"no JSON", np.uint8)},
        {"details": np.frombuffer(b"[]", np.uint8)},
        {"details": np.frombuffer(b"[" * 50_000, np.uint8)},
        {"details": None},
        {"heatmap": None},
    ):
        content = {name: one for name, one in (good | changed).items() if one is not None}
        write_arrays(file, content)
        calls.clear()
        again = run(counted, images, counterparts, store=tmp_path)
        assert len(calls) == 1 and np.isfinite(again.heatmaps).all()
        assert read_arrays(file).keys() == good.keys()
    np.savez(tmp_path / "foreign.npz", heatmap=np.array([None]), details="{}")
    file.write_bytes((tmp_path / "foreign.npz").read_bytes())
    run(counted, images, counterparts, store=tmp_path)
    assert len(calls) == 2


@versioned(1)
def details_of_objects(score, image, counterpart, *, seed=0):
    return Explanation(image[..., 0], {"model": object()})


def test_what_cannot_be_stored_is_said(tmp_path):
    images, counterparts = series(2)
    with pytest.raises(
        RuntimeError,
        match="details can be stored only as numbers, strings and arrays, not as object",
    ):
        run(details_of_objects, images, counterparts, store=tmp_path)
    with pytest.raises(ValueError, match="set the explainer's parameters by name"):
        run(partial(counted, brightness), images, counterparts, store=tmp_path)
    with pytest.raises(
        ValueError,
        match="parameters must be numbers, strings, arrays or a detector's methods, not object",
    ):
        run(partial(counted, places=object()), images, counterparts, store=tmp_path)
    outer = 1
    with pytest.raises(ValueError, match="uses no variables of a function around it"):
        run(
            lambda score, image, counterpart, *, seed: Explanation(outer * image[..., 0]),
            images,
            counterparts,
            store=tmp_path,
        )


def test_full_disk_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    images, counterparts = series(3)

    def no_space(*arguments, **options):
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        write_arrays(*arguments, **options)

    monkeypatch.setattr(batch, "write_arrays", no_space)
    with pytest.raises(
        OSError, match="No space left on device.*those before it are kept"
    ) as caught:
        run(counted, images, counterparts, store=tmp_path)
    assert caught.value.errno == 28 and caught.value.filename.endswith(".arrays")
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.undo()
    calls.clear()
    run(counted, images, counterparts, store=tmp_path)
    assert len(calls) == 2


@versioned(1)
def interrupted_at_third(score, image, counterpart, *, seed=0):
    calls.append(1)
    if len(calls) == 3:
        raise KeyboardInterrupt
    return Explanation(image[..., 0])


def test_control_c_passes_through_and_the_next_call_goes_on(tmp_path):
    images, counterparts = series(5)
    with pytest.raises(KeyboardInterrupt):
        run(interrupted_at_third, images, counterparts, store=tmp_path)
    assert len(calls) == 3 and len(list(tmp_path.iterdir())) == 2
    assert run(interrupted_at_third, images, counterparts, store=tmp_path).errors == {}
    assert len(calls) == 3 + 3


SLOW_RUN = """
import sys, time
import numpy as np
from functools import partial
from adhelpers.explainers import Sampling, Superpixels, explain_images, explain_with_lime

images = np.random.default_rng(0).random((6, 16, 16, 1), dtype=np.float32)
large_batches = 0

def score(images):
    global large_batches
    if len(images) > 1:
        large_batches += 1
        time.sleep(float(sys.argv[2]))
    return images.mean((1, 2, 3))

explain = partial(
    explain_with_lime, sampling=Sampling(64), superpixels=Superpixels(8), batch_size=64
)
result = explain_images(
    explain, score, images, images[::-1], show_progress=False, store=sys.argv[1]
)
np.save(sys.argv[3], result.heatmaps)
print(large_batches)
"""


def test_killed_run_goes_on_and_equals_an_uninterrupted_one(tmp_path):
    def start(store, seconds, name):
        return subprocess.Popen(
            [
                sys.executable,
                "-c",
                SLOW_RUN,
                str(tmp_path / store),
                str(seconds),
                str(tmp_path / name),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def stored(store):
        return [
            file
            for file in Path(tmp_path / store).glob("*.arrays")
            if not file.name.startswith(".")
        ]

    killed = start("store", 0.5, "killed.npy")
    deadline = time.monotonic() + 120
    while len(stored("store")) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    kept = len(stored("store"))
    assert 3 <= kept < 6 and not (tmp_path / "killed.npy").exists()
    resumed = start("store", 0, "resumed.npy")
    assert int(resumed.communicate()[0]) == 6 - kept and resumed.returncode == 0
    images = np.random.default_rng(0).random((6, 16, 16, 1), dtype=np.float32)
    whole = run(
        partial(explain_with_lime, sampling=Sampling(64), superpixels=Superpixels(8)),
        images,
        images[::-1],
    )
    np.testing.assert_array_equal(np.load(tmp_path / "resumed.npy"), whole.heatmaps)


def test_processes_explain_to_the_bit_what_a_loop_explains(tmp_path, monkeypatch, in_processes):
    """With a detector that workers load, an image that fails, and a store that both share."""
    random = np.random.default_rng(3)
    images = random.uniform(size=(9, 24, 24, 1)).astype(np.float32)
    detector = Subspace(n_components=2).fit(images[:5], images[5:7])
    detector.save(tmp_path / "detector")
    shown = images[:7].copy()
    shown[::2, 8:14, 8:14] = 1.0
    counterparts = detector.counterpart(shown)
    shown[3, 0, 0] = np.nan
    passes = float(np.median(detector.score(images)))
    explainers = {
        "LIME": partial(explain_with_lime, sampling=Sampling(33), superpixels=Superpixels(9)),
        "repair": partial(
            explain_with_repair, passes=passes, normal=passes, anomaly_map=detector.anomaly_map
        ),
        "one that cannot be sent": versioned(1)(
            lambda score, image, counterpart, seed: noise(score, image, counterpart, seed=seed)
        ),
    }
    for name, explainer in explainers.items():
        left = {}
        for engine in ("serial", "processes:2"):
            monkeypatch.setenv("ADHELPERS_ENGINE", engine)
            store = tmp_path / engine.partition(":")[0] if name == "LIME" else None
            left[engine] = explain_images(
                explainer, detector.score, shown, counterparts, show_progress=False, store=store
            )
        one, other = left.values()
        assert one.heatmaps.tobytes() == other.heatmaps.tobytes(), name
        assert list(one.errors) == [3] and one.errors == other.errors
        assert repr(one.details) == repr(other.details)
    names = [
        sorted(path.name for path in (tmp_path / one).iterdir()) for one in ("serial", "processes")
    ]
    assert names[0] == names[1] and len(names[0]) == 6
