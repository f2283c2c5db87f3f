"""Which images a notebook reads, and that wrong ones are refused before it starts."""

import pytest

from adhelpers.runner import UsageError, find_notebooks
from adhelpers.runner.presets import Preset, values_for

WHOLE = (*(f"train/good/{i}.png" for i in range(3)), "test/good/0.png", "test/crack/0.png")
OBJECTS = 'category = "{}"\ndata_root = ""  # empty renders images'
# As the notebooks 06 and 07 have them: "folder" is images by class there, and a category here.
CLASSES = (
    'dataset = "insulators"  # insulators, category, mnist or folder\ncategory = ""\ndata_root = ""'
)
LABELS = 'dataset = "digits"  # digits, mnist, idx, folder or csv\ncategory = ""\ndata_root = ""'


@pytest.fixture
def images(tmp_path):
    """Function that makes categories of empty files and returns the folder that holds them."""

    def make(*categories, files=WHOLE):
        for category in categories:
            for name in files:
                path = tmp_path / "images" / category / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        return tmp_path / "images"

    return make


@pytest.fixture
def values(tmp_path, write_notebook):
    """Function that gives the values for notebooks of two objects, or for others."""

    def find(data=None, *given, preset=None, cells=(("01", "screw"), ("02", "nut"))):
        folder = tmp_path / "notebooks"
        for name, content in cells:
            source = content if "\n" in content else OBJECTS.format(content)
            write_notebook(folder / f"{name}.ipynb", parameters=source)
        chosen = Preset(sections=preset or {})
        notebooks = find_notebooks([name for name, _ in cells], folder)
        return values_for(notebooks, chosen, given, {"data_root": data})

    return find


def read(root, *categories):
    return [{"data_root": str(root), "category": category} for category in categories]


def test_each_notebook_finds_its_own_category(images, values):
    root = images("screw", "nut", "bolt")
    assert values(root) == read(root, "screw", "nut")
    assert values(root, ("category", "bolt")) == read(root, "bolt", "bolt")
    assert values(root, preset={"02": {"category": "bolt"}}) == read(root, "screw", "bolt")


def test_the_only_category_needs_no_name(images, values):
    root = images("part")
    (root / ".git").mkdir()
    (root / "notes").mkdir()
    (root / "licence.txt").touch()
    assert values(root) == read(root, "part", "part")
    # Also where it is the default of one of two.
    screws = images("screw", files=WHOLE).rename(root.parent / "two")
    (screws / "part").rename(root.parent / "aside")
    assert values(screws) == read(screws, "screw", "screw")


def test_a_category_itself_may_be_given(images, values, monkeypatch):
    root = images("screw", "nut", "bolt")
    for given in [(), [("category", "bolt")]]:
        assert values(root / "bolt", *given) == read(root, "bolt", "bolt")
    # The folder on the command line wins over the preset's category, but not over another folder.
    preset = {"all": {"category": "screw"}}
    assert values(root / "bolt", preset=preset) == read(root, "bolt", "bolt")
    typed = ("data_root", str(root / "nut"))
    assert values(root / "bolt", typed, preset=preset) == read(root, "nut", "nut")
    with pytest.raises(UsageError, match="is itself the category 'bolt', but .* is 'nut'"):
        values(root / "bolt", ("category", "nut"))
    both = {"all": {"category": "screw", "data_root": str(root / "nut")}}
    with pytest.raises(UsageError, match="is itself the category 'nut', but .* is 'screw'"):
        values(preset=both)
    monkeypatch.chdir(root / "nut")
    assert values(".") == read(root, "nut", "nut")


def test_a_category_within_a_folder_that_looks_like_one_may_be_named(images, values):
    root = images("screw", "")
    assert values(root, ("category", "screw")) == read(root, "screw", "screw")
    assert values(root) == read(root.parent, "images", "images")


@pytest.mark.parametrize(
    "given, preset, problem",
    [
        ([], {}, "01: no category 'screw' in .*, which holds bolt, nut; choose with -p category"),
        ([("category", "blot")], {}, "holds bolt, nut; choose .* did you mean bolt"),
        ([], {"all": {"category": "bolts"}}, "no category 'bolts' in .* did you mean bolt"),
        ([("category", "")], {}, "no category ''"),
    ],
)
def test_a_category_that_is_not_there_is_refused_with_those_that_are(
    images, values, given, preset, problem
):
    with pytest.raises(UsageError, match=problem) as caught:
        values(images("bolt", "nut"), *given, preset=preset)
    assert "\n" not in str(caught.value)


def test_the_only_category_does_not_stand_in_for_one_that_was_named(images, values):
    root = images("screw")
    with pytest.raises(UsageError, match="02: no category 'nut' in .*, which holds screw"):
        values(root, preset={"01": {"category": "screw"}, "02": {"category": "nut"}})
    with pytest.raises(UsageError, match="no category 'scrwe' .* did you mean screw"):
        values(root, ("category", "scrwe"))


def test_an_empty_folder_is_not_taken_for_images(images, values):
    root = images("part")
    (root / "screw").mkdir()
    with pytest.raises(UsageError, match="01: no folder .*screw/train/good"):
        values(root, cells=[("01", "screw")])
    assert values(root, cells=[("02", "nut")]) == read(root, "part")
    # Its folders are there, but no files are in them.
    for part in ("train/good", "test/good"):
        (root / "hollow" / part).mkdir(parents=True)
    with pytest.raises(UsageError, match="no category 'nut' in .*, which holds hollow, part"):
        values(root, cells=[("02", "nut")])
    problem = "'hollow' in .*: train/good holds 0 images; .* and 1 more problem; see `.*hollow`"
    for data, given in [(root, [("category", "hollow")]), (root / "hollow", [])]:
        with pytest.raises(UsageError, match=problem):
            values(data, *given)


@pytest.mark.parametrize(
    "place, problem",
    [
        ("nowhere", "data: there is no folder .*nowhere"),
        ("images/part/train/good/0.png", "data: .*0.png is a file; give the folder"),
        ("images/part/train/good", "holds no category of images"),
        ("images/part/test", "holds no category of images"),
        ("empty", "holds no category of images"),
    ],
)
def test_what_holds_no_category_is_refused(images, values, tmp_path, place, problem):
    images("part")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=problem):
        values(tmp_path / place)


def test_a_folder_of_good_images_of_another_name_is_pointed_out(images, values):
    root = images("part", files=("train/ok/0.png", "test/good/0.png"))
    for data in (root, root / "part"):
        with pytest.raises(UsageError, match="rename train/ok to train/good"):
            values(data)


def test_a_category_whose_name_is_not_utf8_has_an_escaped_one(images, values, tmp_path):
    root = images("part")
    try:
        (root / "part").rename(root / "caf\udce9")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 only")
    for data in (root, root / "caf\udce9"):
        assert values(data) == read(root, r"caf\xe9", r"caf\xe9")
    # A notebook's file cannot hold the path itself.
    root.rename(tmp_path / "\udce9")
    with pytest.raises(UsageError, match=r"data_root: .*\\xe9 is not UTF-8; rename the folder"):
        values(tmp_path / "\udce9")


def test_only_a_category_that_can_be_rendered_needs_no_folder(values):
    assert values(None, ("category", "metal")) == [{"category": "metal"}] * 2
    with pytest.raises(UsageError, match="no rendered images of 'scrw', .* mean screw.* --data"):
        values(None, ("category", "scrw"))
    # Of its own default a notebook knows best.
    assert values(None) == [{}, {}]
    with pytest.raises(UsageError, match="must be the name of a folder"):
        values(None, ("category", "../up"))


def test_a_root_in_the_notebook_is_relative_to_the_notebook(images, values):
    root = images("screw")
    own = f'category = "screw"\ndata_root = "../{root.name}"'
    assert values(cells=[("03", own)]) == read(root, "screw")


def test_a_notebook_of_several_data_sets_reads_a_category_where_its_data_set_is_one(images, values):
    root = images("part")
    classes, labels = [("06", CLASSES)], [("07", LABELS)]
    for cells, kind in [(classes, "category"), (labels, "folder")]:
        [found] = values(root, ("dataset", kind), cells=cells)
        assert found == {"dataset": kind, **read(root, "part")[0]}
        with pytest.raises(UsageError, match="is itself the category 'part'"):
            values(root / "part", ("dataset", kind), ("category", "nut"), cells=cells)
    with pytest.raises(UsageError, match="no rendered images of ''"):
        values(None, ("dataset", "category"), cells=classes)
    # Beside others it keeps its own images.
    mixed = values(root, cells=[("01", "screw"), *labels])
    assert mixed == [*read(root, "part"), {}]
    mixed = values(root, ("category", "part"), cells=[("01", "screw"), *classes, *labels])
    own = {"category": ""}
    assert mixed == [*read(root, "part"), own, own]
    with pytest.raises(UsageError, match="^data: no notebook that runs reads a folder of images"):
        values(root, cells=labels)
    with pytest.raises(UsageError, match="^-p category: no notebook that runs reads a folder"):
        values(None, ("category", "screw"), cells=[*classes, *labels])


def test_data_of_other_layouts_are_found_before_the_start(images, values, tmp_path):
    root = images("by_class", files=("train/a/0.png", "review/a/0.png", "test/a/0.png"))
    classes, labels = [("06", CLASSES)], [("07", LABELS)]
    (table := tmp_path / "table.csv").write_text("a,label\n1,2\n")

    def data(kind, place):
        return ("dataset", kind), ("data_root", str(place))

    for cells, kind, place in [
        (classes, "folder", root / "by_class"),
        (labels, "csv", table),
        (labels, "idx", root),
        (classes, "mnist", root),
    ]:
        found = values(None, *data(kind, place), cells=cells)
        assert found == [{"dataset": kind, "data_root": str(place)}]
    for cells, kind, place, problem in [
        (classes, "folder", root, "images has no folder train; it must hold train, review, test"),
        (classes, "folder", table, "there is no folder .*table.csv"),
        (labels, "csv", root, "there is no file .*images"),
        (labels, "idx", tmp_path / "none", "there is no folder .*none"),
        (labels, "digits", root, "-p data_root: 07 reads no folder for the dataset 'digits'"),
    ]:
        with pytest.raises(UsageError, match=problem):
            values(None, *data(kind, place), cells=cells)
    for cells, kind in [(classes, "folder"), (labels, "folder"), (labels, "csv"), (labels, "idx")]:
        with pytest.raises(UsageError, match=f"the dataset '{kind}' is your own: give its place"):
            values(None, ("dataset", kind), cells=cells)
    # A preset may say for all notebooks where images are.
    shared = {"all": {"data_root": str(root)}}
    assert values(None, cells=labels, preset=shared) == [{"data_root": str(root)}]
