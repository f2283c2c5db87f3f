import pytest

from adhelpers.detectors.foreign.scores_table import read_scores


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "scores.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "image,score\na/0.png,1.5\nb/0.png,-2e3\n",
        "label;Score ;image_path\n1;1,5;a/0.png\n0;-2000;b/0.png\n",
        "file\tpred_score\r\na/0.png\t1.5\r\nb/0.png\t-2000\r\n",
        "\ufefffilename|anomaly_score\n a/0.png |1.5\nb/0.png|-2000\n",
        'name,other,image_score\n"a/0.png",9,1.5\n"b/0.png",9,-2000\n',
    ],
)
def test_columns_are_found_by_name_and_separator(tmp_path, text):
    table = read_scores(written(tmp_path, text))
    assert table["image"].tolist() == ["a/0.png", "b/0.png"]
    assert table["score"].tolist() == [1.5, -2000]
    assert table["line"].tolist() == [2, 3]


def test_a_name_that_looks_like_nothing_stays_a_name(tmp_path):
    """pandas would read "NA" as missing and "007" as 7."""
    table = read_scores(written(tmp_path, "image,score\nNA,1\n007,2\n"))
    assert table["image"].tolist() == ["NA", "007"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,score\na,1\nb,nan\nc,\nd,high\ne,inf\n", r"b \(line 3\), c .*d .*e \(line 6\)"),
        ("image,score\na,1\nb,2\na,1\n", r"more than one row for an image: a \(line 2\), a"),
        ("image,value\na,1\n", "no column for the score, such as score .*it has image, value"),
        ("a,1\nb,2\n", "no column for the image"),
        ("", "cannot be read as a CSV file"),
        ("image,score\n", "holds no rows"),
        ("image,score\na,1,2\n", "cannot be read as a CSV file|no column|finite"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_scores(written(tmp_path, text))
    assert "scores.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not text in UTF-8"):
        read_scores(written(tmp_path, "image,score\nä,1\n", "utf-16"))
    with pytest.raises(FileNotFoundError, match="give a CSV file"):
        read_scores(tmp_path / "none.csv")
