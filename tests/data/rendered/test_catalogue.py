"""Rendered data: layout, exact masks, reproducibility, no shortcut but the planted one, clear refusals."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation, gaussian_filter, label, laplace
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from adhelpers.data.rendered import catalogue as synthetic
from adhelpers.data.rendered.catalogue import render_category, render_sample, rendered_root

DEFECTS = {
    "hazelnut": ["crack", "cut", "hole", "print"],
    "metal": ["black_spot", "thin_line", "arc"],
    "screw": ["manipulated_front", "scratch_head", "scratch_neck", "thread_side", "thread_top"],
}
EVERY_DEFECT = [(category, defect) for category, defects in DEFECTS.items() for defect in defects]
TINY = {"image_size": 64, "train_count": 2, "test_good_count": 1, "defect_count": 1}


def _contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.png"))
    }


def _statistics(folder):
    """Mean, standard deviation, noise, sharpness and file size of each test image, and which images are defective."""
    rows, labels = [], []
    for path in sorted((folder / "test").glob("*/*.png")):
        pixels = np.asarray(Image.open(path)).astype(float) / 255
        edges = laplace(pixels if pixels.ndim == 2 else pixels.mean(axis=2))
        rows.append(
            [
                pixels.mean(),
                pixels.std(),
                np.median(np.abs(edges)),
                edges.var(),
                path.stat().st_size,
            ]
        )
        labels.append(path.parent.name != "good")
    return np.array(rows), np.array(labels)


@pytest.mark.parametrize("category", DEFECTS)
def test_the_layout_is_that_of_mvtec(tmp_path, category):
    folder = render_category(
        tmp_path, category, image_size=64, train_count=3, test_good_count=2, defect_count=1
    )
    assert folder == tmp_path / category
    expected = {f"train/good/{index:03d}.png" for index in range(3)} | {
        "test/good/000.png",
        "test/good/001.png",
    }
    expected |= {f"test/{defect}/000.png" for defect in DEFECTS[category]}
    expected |= {f"ground_truth/{defect}/000_mask.png" for defect in DEFECTS[category]}
    assert set(_contents(folder)) == expected
    mode = "RGB" if category == "hazelnut" else "L"
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            assert image.size == (64, 64)
            assert image.mode == ("L" if "ground_truth" in path.parts else mode)
    for path in folder.glob("ground_truth/*/*.png"):
        assert set(np.unique(Image.open(path))) == {0, 255}
    readme = (folder / "readme.txt").read_text()
    assert "MIT" in readme and '"train_count": 3' in readme
    # Nothing temporary is left beside the category.
    assert [path.name for path in tmp_path.iterdir()] == [category]


@pytest.mark.parametrize("category", DEFECTS)
def test_an_image_does_not_depend_on_the_counts(tmp_path, category):
    small = _contents(render_category(tmp_path / "small", category, **TINY))
    large = _contents(
        render_category(
            tmp_path / "large",
            category,
            image_size=64,
            train_count=4,
            test_good_count=2,
            defect_count=2,
        )
    )
    assert len(large) > len(small)
    assert all(large[name] == content for name, content in small.items())
    other = _contents(render_category(tmp_path / "other", category, seed=1, **TINY))
    assert all(other[name] != content for name, content in small.items())


@pytest.mark.parametrize("image_size", [64, 97, 256])
@pytest.mark.parametrize("category, defect", EVERY_DEFECT)
def test_the_mask_is_where_the_picture_changed(category, defect, image_size):
    seeds = range(4) if image_size == 64 else range(2)
    for seed in seeds:
        good, nothing = render_sample(category, None, image_size, seed)
        bad, mask = render_sample(category, defect, image_size, seed)
        assert not nothing.any()
        assert (
            good.shape == bad.shape == (image_size, image_size, 3 if category == "hazelnut" else 1)
        )
        assert good.dtype == bad.dtype == np.float32 and 0 <= bad.min() < bad.max() <= 1
        assert 3 <= mask.sum() < 0.08 * mask.size
        change = np.abs(bad - good).max(axis=2)
        # Only faint traces, such as a shadow's fringe, lie outside; beyond the neighbourhood hardly
        # anything.
        assert change[~mask].mean() < 0.002
        assert change[mask].mean() > 0.04 and change[mask].mean() > 40 * change[~mask].mean()
        far = ~binary_dilation(mask, iterations=max(3, image_size // 12))
        assert change[far].max() < 0.13
        assert label(mask, np.ones((3, 3)))[1] <= 12


@pytest.mark.parametrize("category, defect", EVERY_DEFECT)
def test_a_defect_lies_on_the_object(category, defect):
    image, mask = render_sample(category, defect, 128, seed=3)
    good, _ = render_sample(category, None, 128, seed=3)
    if category == "hazelnut":
        thing = gaussian_filter(good[..., 0] - good[..., 2], 1.5) > 0.05
        # The cap is nearly grey: the hull of the rows between the edges belongs to the nut too.
        thing = binary_dilation(thing, iterations=10)
    elif category == "metal":
        # The sheet fills the picture; the defect keeps away from its border.
        assert (
            not mask[:4].any()
            and not mask[-4:].any()
            and not mask[:, :4].any()
            and not mask[:, -4:].any()
        )
        return
    else:
        thing = binary_dilation(gaussian_filter(good[..., 0], 0.7) < 0.62, iterations=4)
    assert 0.02 < thing.mean() < 0.7
    assert thing[mask].mean() > 0.9


def test_the_same_screw_lies_in_another_direction_for_another_seed():
    directions = []
    for seed in range(8):
        image, _ = render_sample("screw", None, 96, seed)
        rows, columns = np.nonzero(gaussian_filter(image[..., 0], 0.7) < 0.55)
        spread, axes = np.linalg.eigh(np.cov(np.stack([columns, rows])))
        # Elongated: at least four times as long as it is wide, standard deviation against standard
        # deviation.
        assert spread[1] > 10 * spread[0]
        length = np.ptp(np.stack([columns, rows], 1) @ axes[:, 1]) / 96
        assert 0.55 < length < 0.82
        directions.append(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])) % 180)
    assert np.ptp(directions) > 60


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("category", DEFECTS)
def test_no_trivial_statistic_tells_good_from_defective(tmp_path, category, seed):
    rows, labels = _statistics(render_category(tmp_path, category, train_count=1, seed=seed))
    assert labels.sum() == 6 * len(DEFECTS[category]) and (~labels).sum() == 20
    for name, column in zip(
        ["mean", "standard deviation", "noise", "sharpness", "file size"], rows.T
    ):
        assert 0.35 <= roc_auc_score(labels, column) <= 0.65, name


@pytest.mark.parametrize("category", DEFECTS)
def test_the_brightness_shortcut_darkens_good_test_images_only(tmp_path, category):
    counts = {"image_size": 64, "train_count": 1, "test_good_count": 12, "defect_count": 4}
    plain = render_category(tmp_path / "plain", category, **counts)
    planted = render_category(tmp_path / "planted", category, shortcut="brightness", **counts)
    before, after = _contents(plain), _contents(planted)
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {
        f"test/good/{index:03d}.png" for index in range(12)
    }
    rows, labels = _statistics(planted)
    assert roc_auc_score(labels, rows[:, 0]) >= 0.98
    # Darker, but the same pictures.
    for index in range(12):
        bright, dark = (
            np.asarray(Image.open(folder / f"test/good/{index:03d}.png")).astype(float).ravel()
            for folder in (plain, planted)
        )
        assert np.corrcoef(bright, dark)[0, 1] > 0.98
        assert dark.mean() < 0.95 * bright.mean()


def test_a_linear_subspace_finds_the_defects_of_hazelnuts(tmp_path):
    folder = render_category(tmp_path, "hazelnut", image_size=64)
    train = (
        np.stack([np.asarray(Image.open(path)) for path in folder.glob("train/good/*")]).astype(
            np.float32
        )
        / 255
    )
    paths = sorted((folder / "test").glob("*/*.png"))
    test = np.stack([np.asarray(Image.open(path)) for path in paths]).astype(np.float32) / 255
    labels = np.array([path.parent.name != "good" for path in paths])
    subspace = PCA(20, random_state=0).fit(train.reshape(len(train), -1))
    rebuilt = subspace.inverse_transform(subspace.transform(test.reshape(len(test), -1))).reshape(
        test.shape
    )
    maps = gaussian_filter(np.abs(test - rebuilt).mean(axis=3), (0, 1, 1))
    # Neither hopeless nor solved.
    assert 0.72 < roc_auc_score(labels, maps.max(axis=(1, 2))) < 0.98
    masks = np.zeros(maps.shape, bool)
    for index, path in enumerate(paths):
        if labels[index]:
            masks[index] = (
                np.asarray(
                    Image.open(folder / "ground_truth" / path.parent.name / f"{path.stem}_mask.png")
                )
                > 0
            )
    assert roc_auc_score(masks.ravel(), maps.ravel()) > 0.93


@pytest.mark.parametrize("seed", range(3))
def test_the_brushing_of_metal_runs_along_the_rows_in_good_images_and_a_line_crosses_it(seed):
    good, _ = render_sample("metal", None, 128, seed)
    across, along = (np.abs(np.diff(good[..., 0], axis=axis)).mean() for axis in (0, 1))
    assert across > 1.3 * along
    _, mask = render_sample("metal", "thin_line", 128, seed)
    rows, columns = np.nonzero(mask)
    spread, axes = np.linalg.eigh(np.cov(np.stack([columns, rows])))
    assert spread[1] > 25 * spread[0] and abs(axes[1, 1]) > np.sin(np.radians(20))


def test_a_rendered_root_is_rendered_once(tmp_path, monkeypatch):
    root = rendered_root("screw", tmp_path, **TINY)
    assert root.parent == tmp_path / "rendered"
    image = root / "screw" / "test" / "good" / "000.png"
    first = image.stat().st_mtime_ns
    assert rendered_root("screw", tmp_path, **TINY) == root
    assert image.stat().st_mtime_ns == first
    assert rendered_root("screw", tmp_path, **{**TINY, "train_count": 1}) != root
    assert rendered_root("screw", tmp_path, seed=5, **TINY) != root
    monkeypatch.setattr(synthetic.platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    assert rendered_root("screw", **TINY) == tmp_path / "adhelpers" / "rendered" / root.name


def test_two_that_render_the_same_at_once_share_what_is_ready_first(tmp_path, monkeypatch):
    save, inner = synthetic._save, []

    def overtaken(path, picture):
        if not inner:
            # While the first one still renders, another asks for the same and finishes.
            inner.append(path)
            root = rendered_root("screw", tmp_path, **TINY)
            inner.append((root / "screw" / "readme.txt").stat().st_ino)
        save(path, picture)

    monkeypatch.setattr(synthetic, "_save", overtaken)
    root = rendered_root("screw", tmp_path, **TINY)
    assert (root / "screw" / "readme.txt").stat().st_ino == inner[1] and [
        path.name for path in root.iterdir()
    ] == ["screw"]


def test_an_interrupted_rendering_leaves_what_was_there(tmp_path, monkeypatch):
    folder = render_category(tmp_path, "screw", **TINY)
    before = _contents(folder)
    save, saved = synthetic._save, []

    def fail_at_the_third(path, picture):
        saved.append(path)
        if len(saved) == 3:
            raise OSError("No space left on device")
        save(path, picture)

    monkeypatch.setattr(synthetic, "_save", fail_at_the_third)
    with pytest.raises(OSError, match="No space left"):
        render_category(tmp_path, "screw", seed=1, **TINY)
    with pytest.raises(OSError, match="No space left"):
        saved.clear()
        rendered_root("screw", tmp_path / "cache", **TINY)
    assert _contents(folder) == before
    assert not list((tmp_path / "cache").rglob("*.png"))
    monkeypatch.undo()
    assert len(_contents(rendered_root("screw", tmp_path / "cache", **TINY) / "screw")) == len(
        before
    )


def test_a_foreign_folder_is_not_overwritten(tmp_path):
    own = tmp_path / "screw" / "train" / "good"
    own.mkdir(parents=True)
    (own / "000.png").write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="was not rendered by adhelpers"):
        render_category(tmp_path, "screw", **TINY)
    assert (own / "000.png").read_bytes() == b"precious"
    (tmp_path / "screw" / "readme.txt").write_text("My own screws")
    with pytest.raises(FileExistsError, match="was not rendered"):
        render_category(tmp_path, "screw", **TINY)
    # A rendered folder may be rendered anew.
    render_category(tmp_path / "new", "screw", **TINY)
    again = render_category(tmp_path / "new", "screw", seed=1, **TINY)
    assert '"seed": 1' in (again / "readme.txt").read_text()


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"category": "hazlenut"}, "category: 'hazlenut' .* did you mean 'hazelnut'"),
        ({"category": "bottle"}, "use one of hazelnut, metal, screw"),
        ({"shortcut": "dark"}, "shortcut: 'dark' .* none, brightness"),
        ({"image_size": 63}, "image_size: 63 .* at least 64"),
        ({"image_size": 64.0}, "image_size: 64.0 must be a whole number"),
        ({"train_count": 0}, "train_count: 0 .* at least 1"),
        ({"test_good_count": 0}, "test_good_count"),
        ({"defect_count": -1}, "defect_count"),
        ({"defect_count": True}, "defect_count"),
        ({"seed": -1}, "seed: -1 .* at least 0"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_written(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        render_category(tmp_path / "data", **wrong)
    with pytest.raises(ValueError, match=message):
        rendered_root(cache=tmp_path / "cache", **wrong)
    assert not list(tmp_path.iterdir())


def test_a_sample_of_an_unknown_defect_is_refused():
    with pytest.raises(ValueError, match="defect: no 'crack' on screw; .*thread_top"):
        render_sample("screw", "crack")
