"""An executed notebook as one page of HTML: text and results, no code, nothing from a network."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import bleach
import nbformat
from bleach.css_sanitizer import CSSSanitizer
from bs4 import BeautifulSoup
from markupsafe import Markup
from nbconvert.filters import strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from adhelpers._shared.files import write_text

from ._pages import page_template

_TAGS = frozenset(
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption "
    "figure h1 h2 h3 h4 h5 h6 hr i img kbd li mark ol p pre s small span strong sub summary sup "
    "table tbody td tfoot th thead tr u ul".split()
)
_DROPPED = (
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


def _allowed(tag: str, name: str, value: str) -> bool:
    """Whether an element may keep an attribute."""
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


def _sanitized(soup: BeautifulSoup) -> Markup:
    """HTML of a parsed document without scripts, styles, forms, frames and remote pictures."""
    for element in soup(_DROPPED):
        element.decompose()
    return Markup(_CLEANER.clean(str(soup)).strip())


def _markdown(source: str, attachments: dict | None = None) -> BeautifulSoup:
    renderer = IPythonRenderer(
        escape=False, attachments=attachments or {}, exclude_anchor_links=True
    )
    return BeautifulSoup(MarkdownWithMath(renderer=renderer).render(source), "html.parser")


def _text(value: str | list[str]) -> str:
    return "".join(value) if isinstance(value, list) else value


def _image(kind: str, value: str, alt: str) -> Markup:
    if kind == "image/svg+xml":
        # As the source of an <img> an SVG cannot run scripts or load anything.
        source = "data:image/svg+xml;charset=utf-8," + quote(value)
    else:
        source = f"data:{kind};base64,{''.join(value.split())}"
    return Markup('<img class="figure" alt="{}" src="{}">').format(alt, source)


def _output(output: NotebookNode, alt: str) -> Markup:
    """One output of a cell as safe HTML; empty where there is nothing for a reader."""
    if output.output_type == "stream":
        return _stream(output)
    if output.output_type == "error":
        return Markup('<pre class="error">{}</pre>').format(strip_ansi("\n".join(output.traceback)))
    return _displayed({kind: _text(value) for kind, value in output.get("data", {}).items()}, alt)


def _stream(output: NotebookNode) -> Markup:
    """What a cell printed; messages on standard error are folded up."""
    text = strip_ansi(_text(output.text)).strip("\n")
    if not text:
        return Markup()
    if output.name == "stderr":
        return Markup(
            '<details class="messages"><summary>Messages</summary><pre>{}</pre></details>'
        ).format(text)
    return Markup("<pre>{}</pre>").format(text)


def _displayed(data: dict[str, str], alt: str) -> Markup:
    """The best of the forms in which a cell displayed one thing."""
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


def _blocks(cells: list[NotebookNode]) -> tuple[list[Markup], list[tuple[int, str, str]]]:
    """HTML blocks of the cells in order, and the headings as (level, anchor, text)."""
    blocks: list[Markup] = []
    headings: list[tuple[int, str, str]] = []
    for cell in cells:
        if cell.cell_type == "markdown":
            soup = _markdown(cell.source, cell.get("attachments"))
            for element in soup(["h1", "h2", "h3"]):
                element["id"] = f"section-{len(headings) + 1}"
                headings.append(
                    (int(element.name[1]), str(element["id"]), element.get_text(" ", strip=True))
                )
            blocks.append(_sanitized(soup))
        elif cell.cell_type == "code":
            section = headings[-1][2] if headings else "notebook"
            blocks += [
                _output(output, f"Figure in the section “{section}”") for output in cell.outputs
            ]
    return [block for block in blocks if block], headings


def notebook_to_html(
    notebook: str | Path,
    html: str | Path,
    title: str | None = None,
    remarks: Sequence[str] = (),
) -> Path:
    """Export an executed notebook as one self-contained page: text and results, no code.

    Scripts, remote pictures, frames, forms and widgets are left out, whatever the notebook's
    Markdown and outputs hold; a content security policy in the page forbids them once more.
    Messages on standard error are folded up.

    Parameters
    ----------
    notebook
        The executed ``.ipynb``.
    html
        The page to write, at once or not at all.
    title
        Title of the page; by default the notebook's first heading.
    remarks
        Sentences on the data that whoever reads the results should know: a box under the title.

    Returns
    -------
    Path
        The page.

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
    page = page_template("report.html").render(
        title=title or (headings[0][2] if headings else notebook.stem),
        blocks=blocks,
        contents=[heading for heading in headings if heading[0] > 1],
        notebook=notebook.name,
        remarks=remarks,
    )
    write_text(html, page)
    return Path(html)
