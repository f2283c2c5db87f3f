"""Rendered categories: layout, reproducibility, no shortcut but the planted one, refusals."""

import numpy as np
import platformdirs
import pytest
from PIL import Image
from scipy.ndimage import laplace
from sklearn.metrics import roc_auc_score

from adhelpers.data.rendered import catalogue
from adhelpers.data.rendered.catalogue import render_category, render_sample, rendered_root

DEFECTS = {
    "hazelnut": ["crack", "cut", "hole", "print"],
    "metal": ["black_spot", "thin_line", "arc"],
    "screw": ["manipulated_front", "scratch_head", "scratch_neck", "thread_side", "thread_top"],
}

TINY = {"image_size": 64, "train_count": 2, "test_good_count": 1, "defect_count": 1}


def _contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.png"))
    }


def _statistics(folder):
    """Five trivial statistics of each test image, and which images are defective."""
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


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("category", DEFECTS)
def test_no_trivial_statistic_tells_good_from_defective(tmp_path, category, seed):
    rows, labels = _statistics(render_category(tmp_path, category, train_count=1, seed=seed))
    assert labels.sum() == 6 * len(DEFECTS[category]) and (~labels).sum() == 20
    names = ["mean", "standard deviation", "noise", "sharpness", "file size"]
    for name, column in zip(names, rows.T, strict=True):
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


@pytest.mark.parametrize(
    "category, name",
    [
        ("hazelnut", "d425024ef904a07b"),
        ("metal", "7e884a11608a3710"),
        ("screw", "c2ca03533c4c67d9"),
    ],
)
def test_cached_renderings_are_found_again(tmp_path, category, name):
    # The name and the first line of the note stay as they are as long as the pictures do.
    root = tmp_path / "rendered" / name
    note = render_category(root, category, **TINY | {"train_count": 4}) / "readme.txt"
    assert note.read_text().startswith("Images rendered by adhelpers (adhelpers.data.synthetic).")
    before = note.stat().st_mtime_ns
    assert rendered_root(category, tmp_path, **TINY | {"train_count": 4}) == root
    assert note.stat().st_mtime_ns == before


def test_a_rendered_root_is_rendered_once(tmp_path, monkeypatch):
    root = rendered_root("screw", tmp_path, **TINY)
    assert root.parent == tmp_path / "rendered"
    image = root / "screw" / "test" / "good" / "000.png"
    first = image.stat().st_mtime_ns
    assert rendered_root("screw", tmp_path, **TINY) == root
    assert image.stat().st_mtime_ns == first
    assert rendered_root("screw", tmp_path, **{**TINY, "train_count": 1}) != root
    assert rendered_root("screw", tmp_path, seed=5, **TINY) != root
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    assert rendered_root("screw", **TINY) == tmp_path / "adhelpers" / "rendered" / root.name


def test_two_that_render_the_same_at_once_share_what_is_ready_first(tmp_path, monkeypatch):
    save, inner = catalogue.save_picture, []

    def overtaken(path, picture):
        if not inner:
            # While the first one still renders, another asks for the same and finishes.
            inner.append(path)
            root = rendered_root("screw", tmp_path, **TINY)
            inner.append((root / "screw" / "readme.txt").stat().st_ino)
        save(path, picture)

    monkeypatch.setattr(catalogue, "save_picture", overtaken)
    root = rendered_root("screw", tmp_path, **TINY)
    assert (root / "screw" / "readme.txt").stat().st_ino == inner[1] and [
        path.name for path in root.iterdir()
    ] == ["screw"]


def test_an_interrupted_rendering_leaves_what_was_there(tmp_path, monkeypatch):
    folder = render_category(tmp_path, "screw", **TINY)
    before = _contents(folder)
    save, saved = catalogue.save_picture, []

    def fail_at_the_third(path, picture):
        saved.append(path)
        if len(saved) == 3:
            raise OSError("No space left on device")
        save(path, picture)

    monkeypatch.setattr(catalogue, "save_picture", fail_at_the_third)
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
        ({"shortcut": "dark"}, "shortcut must be one of none, brightness, not 'dark'"),
        ({"image_size": 63}, "image_size must be a whole number of at least 64, not 63"),
        ({"image_size": 64.0}, "image_size must be a whole number of at least 64, not 64.0"),
        ({"train_count": 0}, "train_count .* at least 1, not 0"),
        ({"test_good_count": 0}, "test_good_count"),
        ({"defect_count": -1}, "defect_count"),
        ({"defect_count": True}, "defect_count"),
        ({"seed": -1}, "seed .* at least 0, not -1"),
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
