"""Tables of vectors: which columns are features, which cells are refused, what is remarked."""

import numpy as np
import pytest
from scipy.stats import rankdata

from adhelpers.data import load_labelled, semi_supervised
from adhelpers.data.tables import read_table
from adhelpers.metrics import image_auroc

COUNT = 40
NOISE = np.random.default_rng(0).normal(size=COUNT)
SORTED = ["a"] * 20 + ["b"] * 20


@pytest.fixture
def write(tmp_path):
    """Function that writes columns under a header, as they are, into a file."""

    def save(header, *columns):
        path = tmp_path / "table.csv"
        rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return path

    return save


def kinds(table):
    return {one.kind: one.files for one in table.remarks}


@pytest.mark.parametrize("name", ["", '""', " ", "Unnamed: 0", "Unnamed: 0.1"])
def test_the_index_of_pandas_is_no_feature(write, name):
    shuffled = np.random.default_rng(1).permutation(COUNT) * 3
    table = read_table(write(f"{name},width,label", shuffled, NOISE, SORTED), "label")
    assert table.columns == ("width",) and table.values[:, 0].tolist() == NOISE.tolist()
    (remark,) = table.remarks
    assert remark.kind == "table_unnamed" and "name it to use it" in remark.sentence


def test_an_index_tells_classes_apart_that_are_the_same_noise(write):
    """The score of a sample is its distance from the mean of the normal ones."""

    def auroc(path):
        labelled = load_labelled("csv", path)
        category = semi_supervised(labelled, "a")
        scores = np.linalg.norm(category.test.images, axis=1)
        return image_auroc(scores, category.test.labels), category

    before, _ = auroc(write("x,label", NOISE, SORTED))
    after, category = auroc(write(",x,id,label", range(COUNT), NOISE, range(COUNT), SORTED))
    assert after == before < 0.7
    assert [one.kind for one in category.remarks] == ["table_unnamed", "table_row_numbers"]


@pytest.mark.parametrize("start", [0, 1])
def test_a_column_that_counts_the_rows_is_left_out(write, start):
    numbers = np.arange(start, start + COUNT)
    table = read_table(write("id,width,label", numbers, NOISE, SORTED), "label")
    assert table.columns == ("width",) and kinds(table) == {"table_row_numbers": ("id",)}


@pytest.mark.parametrize(
    "column, is_doubtful",
    [
        (1.7e9 + np.arange(COUNT) // 3, True),
        (np.arange(COUNT) + 1990, True),
        (np.arange(COUNT)[::-1], True),
        # The index without the rows that were removed.
        (np.delete(np.arange(COUNT + 2), [5, 30]), True),
        (rankdata(NOISE), True),
        # Two classes that differ in a feature of two values, and numbers that come again.
        (np.repeat([0, 1], 20), False),
        (np.arange(COUNT) % 20, False),
        (rankdata(NOISE) * 2, False),
        (NOISE, False),
        (np.full(COUNT, 7), False),
    ],
)
def test_a_column_in_the_order_of_the_rows_stays_and_is_named(write, column, is_doubtful):
    table = read_table(write("time,width,label", column, NOISE[::-1], SORTED), "label")
    assert table.columns == ("time", "width") and table.values[:, 0].tolist() == column.tolist()
    assert kinds(table) == ({"table_order": ("time",)} if is_doubtful else {})


def test_a_counting_column_is_a_feature_where_it_is_the_only_one_or_short(write):
    table = read_table(write("id,label", range(COUNT), SORTED), "label")
    assert table.columns == ("id",) and kinds(table) == {"table_order": ("id",)}
    table = read_table(write("steps,width,label", range(4), NOISE[:4], "abab"), "label")
    assert table.columns == ("steps", "width") and table.remarks == ()
    with pytest.raises(ValueError, match="no rows of features beside 'label': Unnamed: 0 has no"):
        read_table(write(",label", NOISE, SORTED), "label")


@pytest.mark.parametrize("names", [("NA", "None"), ("null", "nan"), ("01", "1"), ("N/A", "inf")])
def test_what_pandas_takes_for_missing_is_the_name_of_a_class(write, names):
    path = write("x,label", NOISE, [f" {name}" for name in names * 20])
    labelled = load_labelled("csv", path)
    assert labelled.classes[:2].tolist() == list(names)
    category = semi_supervised(labelled, names[1])
    assert set(category.test.types) == {"good", names[0]}


@pytest.mark.parametrize("empty", ["", '""', "  "])
def test_a_row_without_a_class_is_named(write, empty):
    labels = [*SORTED[:11], empty, *SORTED[12:]]
    with pytest.raises(ValueError, match=r"table\.csv has no class in column 'label' of row 12 b"):
        read_table(write("x,label", NOISE, labels), "label")


@pytest.mark.parametrize("cell", ["1e39", "-4e38", "inf", "nan", "NA", "much", ""])
def test_a_cell_that_does_not_fit_is_named_before_anything_is_computed(write, cell):
    column = [*NOISE[:6], cell, *NOISE[7:]]
    with pytest.raises(ValueError, match=r"table\.csv.*column 'x' holds \S+ in row 7, counted"):
        read_table(write("x,y,label", column, NOISE, SORTED), "label")


@pytest.mark.parametrize(
    "content, message",
    [
        ("a,b\n1,2\n", "no column 'label'; its columns are a, b"),
        ("label\n1\n", "no rows of features"),
        ("a,label\n", "no rows of features"),
        ("", "cannot be read as CSV"),
        ("a,label,label\n1,x,0\n", "more than one column 'label'"),
        # pandas takes the first field for an index, and the class for a feature.
        (
            "a,b,label\n1,2,x,\n2,1,y,\n",
            "cannot be read as CSV.*Expected 3 fields in line 2, saw 4",
        ),
        ("a,label\n1,x\n2,y,3\n", "Expected 2 fields in line 3, saw 3"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, message):
    (tmp_path / "table.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / "table.csv", "label")


def test_blanks_and_truth_values_are_read(tmp_path):
    (tmp_path / "table.csv").write_text("a, b, label\n1, True, x\n\n2, False, y\n")
    table = read_table(tmp_path / "table.csv", "label")
    assert table.columns == ("a", "b") and table.classes.tolist() == ["x", "y"]
    assert table.values.tolist() == [[1, 1], [2, 0]]


def test_time_stamps_keep_all_their_values(write):
    stamps = 1.7e9 + np.random.default_rng(2).permutation(COUNT) / 8
    labelled = load_labelled("csv", write("time,x,label", stamps, NOISE, SORTED))
    category = semi_supervised(labelled, "a", validation_fraction=0)
    used = category.train.images[:, 0]
    assert used.dtype == np.float32 and len(np.unique(used)) == len(used) == 12
    exact = stamps[[int(name.split("/")[-1]) for name in category.train.names]]
    np.testing.assert_allclose(used, (exact - exact.mean()) / exact.std(), rtol=1e-5)
    assert len(np.unique(stamps.astype(np.float32))) == 1
