from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from adhelpers.data import ImageSet, load_category
from adhelpers.detectors import read_maps
from adhelpers.detectors.foreign.map_folder import MapsError

NAMES = ["test/good/000.png", "test/good/001.png", "test/dent/000.png", "test/dent/002.png"]


def image_set(names=NAMES, size=(8, 8), file_size=(16, 16)):
    count = len(names)
    return ImageSet(
        images=np.zeros((count, *size, 1), np.float32),
        labels=np.array([int("/dent/" in name) for name in names]),
        types=np.array([name.split("/")[1] for name in names]),
        names=np.array(names),
        masks=None,
        transforms=None,
        original_shapes=np.array([file_size] * count),
    )


GOOD = image_set(["train/good/000.png", "train/good/001.png", "train/good/002.png"])


def save_map(folder, name, level, shape=(8, 8)):
    """A map whose maximum is ``level`` and whose minimum is less."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full(shape, level / 2, np.float32)
    values[1, 2] = level
    np.save(path, values)


@pytest.fixture
def folder(tmp_path):
    for level, name in enumerate(NAMES, start=1):
        save_map(tmp_path / "maps", name.removeprefix("test/").replace("png", "npy"), level)
    return tmp_path / "maps"


def test_maps_and_maxima_are_in_the_order_of_the_images(folder):
    found = read_maps(folder, image_set())
    assert found.maps.shape == (4, 8, 8) and found.maps.dtype == np.float32
    assert found.scores.tolist() == [1, 2, 3, 4] and found.reference_scores is None
    assert found.maps[3, 1, 2] == 4
    assert "only be chosen with test labels" in found.facts[-1]
    assert len(found.fingerprint) == 64


@pytest.mark.parametrize(
    "place", ["anomaly_maps/nut/test/{}/{}.npy", "test/{}/{}.npy", "x/y/{}/{}.npy"]
)
def test_other_layouts_are_found(tmp_path, place):
    for level, name in enumerate(NAMES):
        save_map(tmp_path, place.format(*name.removesuffix(".png").split("/")[1:]), level)
    assert read_maps(tmp_path, image_set()).scores.tolist() == [0, 1, 2, 3]


def test_of_several_categories_one_is_named(tmp_path):
    for category in ("nut", "screw"):
        for level, name in enumerate(NAMES):
            place = f"anomaly_maps/{category}/{name.replace('png', 'npy')}"
            save_map(tmp_path, place, level + 10 * (category == "nut"))
    with pytest.raises(ValueError, match=r"maps of several categories \(nut, screw\)"):
        read_maps(tmp_path, image_set())
    assert read_maps(tmp_path, image_set(), category="nut").scores.tolist() == [10, 11, 12, 13]


def test_everything_that_is_wrong_is_in_one_error(folder):
    (folder / "good/001.npy").unlink()
    save_map(folder, "crack/7.npy", 1)
    np.save(folder / "dent/000.npy", np.full((4, 4), np.nan))
    (folder / "dent/002.npy").write_bytes(b"nonsense")
    save_map(folder, "good/000.npz", 1)
    (folder / "good/000.npz.npy").rename(folder / "good/000.npz")
    with pytest.raises(MapsError) as caught:
        read_maps(folder, image_set())
    assert len(caught.value.problems) == 5
    for text in (
        "no map of test/good/001.png",
        "crack/7.npy belongs to no image",
        "good/000.npy and good/000.npz are both for test/good/000.png",
        "dent/000.npy holds 16 values that are NaN",
        "dent/002.npy cannot be read as .npy",
    ):
        assert text in str(caught.value)


def test_a_flat_folder_with_names_that_two_images_share_is_ambiguous(tmp_path):
    for name in ("000", "001", "002"):
        save_map(tmp_path, f"{name}.npy", 1)
    with pytest.raises(MapsError, match="000.npy could belong to test/good/000.png or test/dent"):
        read_maps(tmp_path, image_set())


def test_maps_of_good_images_give_the_reference(folder):
    save_map(folder, "train/good/000.npy", 0.5)
    save_map(folder, "train/good/002.npy", 0.75)
    save_map(folder, "train/good/777.npy", 9)
    found = read_maps(folder, image_set(), reference=GOOD)
    assert found.reference_scores.tolist() == [0.5, 0.75]
    assert "2 of 3 good training or validation images have maps" in " ".join(found.facts)
    assert "1 maps of other training or validation images are not used" in found.facts
    # Without one they are neither used nor left over.
    assert read_maps(folder, image_set()).reference_scores is None


def test_scores_of_a_table_take_the_place_of_maxima_everywhere(folder, tmp_path):
    """A threshold from maxima would not fit scores of another scale."""
    save_map(folder, "train/good/000.npy", 0.5)
    table = tmp_path / "scores.csv"
    rows = [f"{name},{100 + place}" for place, name in enumerate(reversed(NAMES))]
    table.write_text("\n".join(["image,score", *rows]))
    found = read_maps(folder, image_set(), reference=GOOD, scores_file=table)
    assert found.scores.tolist() == [103, 102, 101, 100] and found.reference_scores is None
    assert "from scores.csv" in " ".join(found.facts)
    table.write_text("\n".join(["image,score", *rows, "train/good/001.png,90"]))
    found = read_maps(folder, image_set(), reference=GOOD, scores_file=table)
    assert found.reference_scores.tolist() == [90]


def test_a_table_must_fit_the_images(folder, tmp_path):
    table = tmp_path / "scores.csv"
    table.write_text("image,score\ngood/000.png,1\ndent/000.png,2\ndent/002.png,3\nx/1.png,4\n")
    with pytest.raises(MapsError) as caught:
        read_maps(folder, image_set(), scores_file=table)
    assert caught.value.problems == [
        "scores.csv: no score of test/good/001.png",
        "scores.csv: x/1.png belongs to no image",
    ]


def test_another_size_is_resized_and_said(tmp_path):
    for name in NAMES:
        save_map(tmp_path, name.replace("png", "npy"), len(name), (4, 4))
    save_map(tmp_path, NAMES[0].replace("png", "npy"), 50, (20, 20))
    found = read_maps(tmp_path, image_set())
    assert found.maps.shape == (4, 8, 8) and found.scores[0] == 50 > found.maps[0].max()
    assert found.facts[1] == "Maps of 4 x 4 and 20 x 20 pixels are resized to 8 x 8 (bilinear)"


def test_exchanged_rows_and_columns_are_refused(tmp_path):
    images = image_set(size=(8, 16), file_size=(100, 200))
    for level, name in enumerate(NAMES):
        save_map(tmp_path, name.replace("png", "npy"), level, (16, 8))
    with pytest.raises(MapsError, match="16 x 8 pixels .* rows and columns are exchanged"):
        read_maps(tmp_path, images)
    for level, name in enumerate(NAMES):
        save_map(tmp_path, name.replace("png", "npy"), level, (8, 8))
    assert "4 of the maps are stretched" in " ".join(read_maps(tmp_path, images).facts)


def test_maps_that_are_constant_are_counted(folder):
    np.save(folder / "good/000.npy", np.zeros((8, 8)))
    facts = " ".join(read_maps(folder, image_set()).facts)
    assert "1 of the maps are constant everywhere" in facts and "good/000.npy" in facts


def save_png(folder, name, values):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def test_pictures_that_were_scaled_one_by_one_have_no_scores(tmp_path):
    """Each stretched to 255: the good images look as anomalous as the others."""
    values = np.zeros((8, 8))
    values[2, 2] = 255
    for name in NAMES:
        save_png(tmp_path, name, values)
    with pytest.raises(MapsError, match=r"all maps have the same maximum \(1\)"):
        read_maps(tmp_path, image_set())
    table = tmp_path / "scores.csv"
    table.write_text("image,score\n" + "".join(f"{name},{len(name)}\n" for name in NAMES))
    assert read_maps(tmp_path, image_set(), scores_file=table).maps.max() == 1


def test_ties_of_8_bits_are_counted(tmp_path):
    for level, name in zip((10, 10, 200, 201), NAMES, strict=True):
        values = np.zeros((8, 8))
        values[2, 2] = level
        save_png(tmp_path, name, values)
    assert "2 of 4 scores are equal to that of another image" in " ".join(
        read_maps(tmp_path, image_set()).facts
    )


def test_images_that_were_moved_are_refused(folder):
    turned = np.array([[0, -1.0, 15], [1, 0, 0], [0, 0, 1]])
    images = replace(image_set(), transforms=np.stack([turned] * 4))
    with pytest.raises(ValueError, match="turned, cropped or padded"):
        read_maps(folder, images)


def test_a_loaded_category_is_not_taken_for_moved(tmp_path):
    names = [f"train/good/{n}" for n in range(4)] + ["test/good/0", "test/dent/0"]
    for number, name in enumerate(names):
        save_png(tmp_path / "data/nut", f"{name}.png", np.full((30, 40), 10 * number))
        save_map(tmp_path / "maps", f"{name}.npy", number, (30, 40))
    category = load_category(tmp_path / "data", "nut", image_size=(24, 48))
    found = read_maps(tmp_path / "maps", category.test, reference=category.validation)
    assert found.maps.shape == (2, 24, 48) and len(found.reference_scores) == 1
    assert found.scores.tolist() == [5, 4]


def test_folders_without_maps_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="give the folder that holds the anomaly maps"):
        read_maps(tmp_path / "none", image_set())
    with pytest.raises(ValueError, match="holds no map of any of the 4 images: expected"):
        read_maps(tmp_path, image_set())
