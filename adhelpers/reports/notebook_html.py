"""What a run leaves as files: ``samples.csv``, ``summary.json``, ``report.html``, and the index over all runs."""

import dataclasses
import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import bleach
import nbformat
import numpy as np
from bleach.css_sanitizer import CSSSanitizer
from bs4 import BeautifulSoup
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from nbconvert.filters import strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from adhelpers._shared.files import replacing, write_json, write_text

SUMMARY_KEYS = (
    "notebook",
    "category",
    "detector",
    "parameters",
    "seed",
    "data",
    "image_auroc",
    "pixel_auroc",
    "aupro",
    "threshold",
    "confusion",
    "jaccard",
    "chance",
    "shortcut",
    "verdicts",
    "trust_adjusted_recall",
    "seconds",
    "versions",
)
_PARTS = {
    **dict.fromkeys(("image_auroc", "pixel_auroc", "aupro"), ("value", "low", "high")),
    "threshold": ("value", "rule", "uses_test_labels"),
    "confusion": ("tp", "fp", "tn", "fn"),
}
_REPORTED_PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "scikit-image",
    "scikit-learn",
    "lime",
    "shap",
)

_TAGS = frozenset(
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i img "
    "kbd li mark ol p pre s small span strong sub summary sup table tbody td tfoot th thead tr u ul".split()
)
_CSS_PROPERTIES = (
    "background-color",
    "border",
    "border-collapse",
    "color",
    "font-style",
    "font-weight",
    "height",
    "margin",
    "max-width",
    "padding",
    "text-align",
    "vertical-align",
    "white-space",
    "width",
)
# A widget is dropped with all its fallbacks, because they say "HBox(children=…".
_WIDGET = "application/vnd.jupyter.widget-view+json"
# The best picture of an output first.
_IMAGES = ("image/svg+xml", "image/png", "image/jpeg")


def _template(name):
    environment = Environment(
        loader=PackageLoader("adhelpers.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def versions():
    """Versions of Python and of the packages that a result depends on, read without importing them.

    Returns
    -------
    dict of str to str or None
        ``None`` where a package is not installed.

    Examples
    --------
    >>> sorted(versions())[:3]
    ['adhelpers', 'keras', 'lime']
    """
    found = {"python": platform.python_version()}
    for name in ("adhelpers", *_REPORTED_PACKAGES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def write_samples(path, frame):
    """Write a table with one row for each test image as CSV, at once or not at all.

    Parameters
    ----------
    path : str or Path
        Usually ``samples.csv`` in the folder of the run.
    frame : pandas.DataFrame
        The rows; the index is not written. NaN becomes an empty field.

    Returns
    -------
    Path

    Examples
    --------
    >>> import pandas, tempfile
    >>> path = write_samples(Path(tempfile.mkdtemp()) / "samples.csv", pandas.DataFrame({"name": ["a.png"], "score": [0.5]}))
    >>> path.read_text()
    'name,score\\na.png,0.5\\n'
    """
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
    return Path(path)


def _plain(value, where):
    """``value`` in the terms of JSON; NaN and infinity become None. ``where`` names it in an error."""
    if hasattr(value, "as_dict"):
        value = value.as_dict()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    elif hasattr(value, "to_dict"):
        value = value.to_dict()
    elif isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(part, f"{where}.{key}") for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, f"{where}[{index}]") for index, part in enumerate(value)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, Path):
        return str(value)
    raise ValueError(
        f"summary: {where} is a {type(value).__name__}; give numbers, texts, lists or dicts of them"
    )


def write_summary(path, summary):
    """Check and write ``summary.json``, whose keys other tools rely on.

    Parameters
    ----------
    path : str or Path
        Usually ``summary.json`` in the folder of the run.
    summary : dict
        Exactly the keys ``SUMMARY_KEYS``. What does not apply is None. Estimates (anything with
        ``as_dict``), data classes such as ``Threshold``, pandas Series and NumPy values are turned
        into plain ones; NaN and infinity become null.

    Returns
    -------
    dict
        What was written.

    Raises
    ------
    ValueError
        If a key is missing or unknown, or a part lacks what the key promises (``image_auroc`` its
        ``value``, ``low``, ``high``).
    """
    missing, unknown = (
        [key for key in SUMMARY_KEYS if key not in summary],
        sorted(set(summary) - set(SUMMARY_KEYS)),
    )
    if missing or unknown:
        raise ValueError(
            f"summary: missing keys {missing}, unknown keys {unknown}; the keys are {', '.join(SUMMARY_KEYS)} (None where one "
            "does not apply)"
        )
    plain = {key: _plain(summary[key], key) for key in SUMMARY_KEYS}
    for key, parts in _PARTS.items():
        if plain[key] is not None and (
            not isinstance(plain[key], dict) or set(plain[key]) != set(parts)
        ):
            raise ValueError(
                f"summary: {key} must be None or hold exactly {', '.join(parts)}, got {plain[key]!r}"
            )
    write_json(path, plain)
    return plain


def _allowed(tag, name, value):
    if name in ("class", "style", "title", "colspan", "rowspan", "align"):
        return True
    if name == "id":
        return tag in ("h1", "h2", "h3", "h4", "h5", "h6")
    if tag == "a" and name == "href":
        return not value.strip().lower().startswith("data:")
    # Pictures only from within the file: a remote one would tell its server who reads the report.
    if tag == "img":
        return name in ("alt", "width", "height") or (
            name == "src" and value.strip().lower().startswith("data:image/")
        )
    return (tag, name) == ("details", "open")


_CLEANER = bleach.Cleaner(
    tags=_TAGS,
    attributes=_allowed,
    protocols=("http", "https", "mailto", "data"),
    strip=True,
    css_sanitizer=CSSSanitizer(allowed_css_properties=_CSS_PROPERTIES),
)


def _sanitized(soup):
    """HTML of a parsed document without scripts, styles, forms, frames and remote pictures."""
    for element in soup(
        [
            "script",
            "style",
            "iframe",
            "object",
            "embed",
            "template",
            "noscript",
            "svg",
            "math",
            "form",
        ]
    ):
        element.decompose()
    return Markup(_CLEANER.clean(str(soup)).strip())


def _markdown(source, attachments=None):
    renderer = IPythonRenderer(
        escape=False, attachments=attachments or {}, exclude_anchor_links=True
    )
    return BeautifulSoup(MarkdownWithMath(renderer=renderer).render(source), "html.parser")


def _text(value):
    return "".join(value) if isinstance(value, list) else value


def _image(kind, value, alt):
    if kind == "image/svg+xml":
        # As the source of an <img> an SVG cannot run scripts or load anything.
        source = "data:image/svg+xml;charset=utf-8," + quote(value)
    else:
        source = f"data:{kind};base64,{''.join(value.split())}"
    return Markup('<img class="figure" alt="{}" src="{}">').format(alt, source)


def _output(output, alt):
    """One output of a cell as safe HTML; empty where there is nothing for a reader."""
    if output.output_type == "stream":
        text = strip_ansi(_text(output.text)).strip("\n")
        if not text:
            return Markup()
        if output.name == "stderr":
            return Markup(
                '<details class="messages"><summary>Messages</summary><pre>{}</pre></details>'
            ).format(text)
        return Markup("<pre>{}</pre>").format(text)
    if output.output_type == "error":
        return Markup('<pre class="error">{}</pre>').format(strip_ansi("\n".join(output.traceback)))
    data = {kind: _text(value) for kind, value in output.get("data", {}).items()}
    if _WIDGET in data:
        return Markup()
    if "text/html" in data:
        html = _sanitized(BeautifulSoup(data["text/html"], "html.parser"))
        if html:
            return Markup('<div class="scroll">{}</div>').format(html)
    for kind in _IMAGES:
        if kind in data:
            return _image(kind, data[kind], alt)
    if "text/markdown" in data:
        return _sanitized(_markdown(data["text/markdown"]))
    if "text/plain" in data:
        return Markup("<pre>{}</pre>").format(strip_ansi(data["text/plain"]))
    return Markup()


def _blocks(cells):
    """HTML blocks of the cells in order, and the headings as (level, anchor, text)."""
    blocks, headings = [], []
    for cell in cells:
        if cell.cell_type == "markdown":
            soup = _markdown(cell.source, cell.get("attachments"))
            for element in soup(["h1", "h2", "h3"]):
                element["id"] = f"section-{len(headings) + 1}"
                headings.append(
                    (int(element.name[1]), element["id"], element.get_text(" ", strip=True))
                )
            blocks.append(_sanitized(soup))
        elif cell.cell_type == "code":
            section = headings[-1][2] if headings else "notebook"
            blocks += [
                _output(output, f"Figure in the section “{section}”") for output in cell.outputs
            ]
    return [block for block in blocks if block], headings


def notebook_to_html(notebook, html, title=None):
    """Export an executed notebook as one self-contained page: text and results, no code, nothing that needs a network.

    Scripts, remote pictures, frames, forms and widgets are left out, whatever the notebook's
    Markdown and outputs hold; a content security policy in the page forbids them once more.
    Messages on standard error are folded up.

    Parameters
    ----------
    notebook : str or Path
        The executed ``.ipynb``.
    html : str or Path
        The page to write, at once or not at all.
    title : str, optional
        Title of the page; by default the notebook's first heading.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If ``notebook`` is no notebook.
    FileNotFoundError
        If it does not exist.
    """
    notebook = Path(notebook)
    try:
        node = nbformat.read(notebook, as_version=4)
    except (
        nbformat.reader.NotJSONError,
        nbformat.ValidationError,
        AttributeError,
        KeyError,
    ) as error:
        raise ValueError(f"{notebook} is not a Jupyter notebook") from error
    blocks, headings = _blocks(node.cells)
    page = _template("report.html").render(
        title=title or (headings[0][2] if headings else notebook.stem),
        blocks=blocks,
        contents=[heading for heading in headings if heading[0] > 1],
        notebook=notebook.name,
    )
    write_text(html, page)
    return Path(html)


def _estimate(part):
    if not part or part.get("value") is None:
        return None
    if part.get("low") is None or part.get("high") is None:
        return f"{part['value']:.3f}"
    return f"{part['value']:.3f} [{part['low']:.3f},\N{NO-BREAK SPACE}{part['high']:.3f}]"


def _overlap(name, value):
    if isinstance(value, dict):
        value = value.get("mean", value.get("value"))
    return f"{name} –" if value is None else f"{name} {value:.2f}"


def _figures_of_run(path):
    """The columns of the index from one ``summary.json``."""
    summary = json.loads(path.read_text(encoding="utf-8"))
    threshold, confusion, shortcut = (
        summary["threshold"] or {},
        summary["confusion"],
        summary["shortcut"],
    )
    trusted = summary["trust_adjusted_recall"]
    seconds = sum((summary["seconds"] or {}).values())
    return {
        "detector": summary["detector"],
        "image_auroc": _estimate(summary["image_auroc"]),
        "pixel_auroc": _estimate(summary["pixel_auroc"]),
        "aupro": _estimate(summary["aupro"]),
        "rule": threshold.get("rule"),
        "uses_test_labels": bool(threshold.get("uses_test_labels")),
        "false_alarms": f"{confusion['fp']} of {confusion['fp'] + confusion['tn']}"
        if confusion is not None
        else None,
        "jaccard": [_overlap(name, value) for name, value in (summary["jaccard"] or {}).items()],
        "seconds": f"{seconds:.0f}" if seconds else None,
        "recall": f"{confusion['tp'] / (confusion['tp'] + confusion['fn']):.2f}"
        if confusion
        else None,
        "trusted": None if trusted is None else f"{trusted:.2f}",
        "shortcut": f"{shortcut['name'].replace('_', ' ')} {shortcut.get('separability', shortcut['auroc']):.2f}"
        if shortcut
        else None,
        "shortcut_found": bool((shortcut or {}).get("significant")),
        "verdicts": [f"{count} {name}" for name, count in (summary["verdicts"] or {}).items()],
    }


def _rows_of_folder(results, folder):
    """The rows of the index for one folder ``results/<notebook>/<category>``: one for each summary, one for a failed run."""
    notebook, category = folder.parent.name, folder.name
    address = f"./{quote(notebook)}/{quote(category)}/"
    # A folder may be called anything, a link must not leave it: quote() also escapes the colon of
    # "javascript:".
    files = {
        "report": "report.html",
        "gallery": "gallery.html",
        "notebook": f"{notebook}.ipynb",
        "samples": "samples.csv",
    }
    links = [
        (name, address + quote(file)) for name, file in files.items() if (folder / file).is_file()
    ]
    rows = []
    for path in sorted(folder.glob("summary*.json")) or ([None] if links else []):
        row = {
            "notebook": notebook,
            "category": category,
            "links": links,
            "problem": None,
            "failed": False,
        }
        dated = path or folder / files["report"]
        row["date"] = datetime.fromtimestamp(
            (dated if dated.exists() else folder).stat().st_mtime
        ).strftime("%Y-%m-%d %H:%M")
        try:
            row |= _figures_of_run(path) if path else {"problem": "no summary.json"}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            row["problem"] = f"{path.name} cannot be read as a summary of a run"
        rows.append(row)
    for path in sorted(folder.glob("*.failed.ipynb")):
        date = datetime.fromtimestamp(path.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
        rows.append(
            {
                "notebook": notebook,
                "category": category,
                "date": date,
                "failed": True,
                "problem": "the last run failed; its notebook shows where",
                "links": [("failed notebook", address + quote(path.name))],
            }
        )
    return rows


def write_index(results):
    """Write ``index.html`` over all runs in a results folder: figures side by side, links to each report and gallery.

    Parameters
    ----------
    results : str or Path
        Holds ``<notebook>/<category>/`` folders. A run whose ``summary.json`` is missing or damaged
        gets a row that says so.

    Returns
    -------
    Path
        The page.
    """
    results = Path(results)
    folders = sorted(
        path for path in results.glob("*/*") if path.is_dir() and not path.name.startswith(".")
    )
    rows = [row for folder in folders for row in _rows_of_folder(results, folder)]
    write_text(results / "index.html", _template("index.html").render(rows=rows))
    return results / "index.html"
