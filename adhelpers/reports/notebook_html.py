"""An executed notebook as one page of HTML: text and results, no code, nothing from a network."""

import base64
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import bleach
from bleach.css_sanitizer import CSSSanitizer
from bs4 import BeautifulSoup, Tag
from markupsafe import Markup

from adhelpers._shared.files import write_text

from ._pages import ANSWER_KINDS, page_template, png_uri

if TYPE_CHECKING:
    from nbformat import NotebookNode

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

# Of a picture in pixels, of a cell of a table in letters.
_WIDE, _LONG = 600, 34
# What is printed in columns, and how a cell begins whose prints are compared by a test.
_ALIGNED, _CHECKED = re.compile(r"\S {2,}\S|\t"), "# NBVAL_CHECK_OUTPUT"
_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?")


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
    # Takes over a second to import, as nbformat does; a kernel that writes no page needs neither.
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    renderer = IPythonRenderer(
        escape=False, attachments=attachments or {}, exclude_anchor_links=True
    )
    return BeautifulSoup(MarkdownWithMath(renderer=renderer).render(source), "html.parser")


def _without_colours(text: str) -> str:
    from nbconvert.filters import strip_ansi

    plain: str = strip_ansi(text)
    return plain


def _text(value: str | list[str]) -> str:
    return "".join(value) if isinstance(value, list) else value


def _image(kind: str, value: str, alt: str) -> Markup:
    """A picture with its caption; a large one scrolls sideways where the screen is narrow."""
    if kind == "image/svg+xml":
        # As the source of an <img> an SVG cannot run scripts or load anything.
        source = "data:image/svg+xml;charset=utf-8," + quote(value)
    else:
        source = f"data:{kind};base64,{''.join(value.split())}"
    return Markup(
        '<figure{2}><div class="scroll"><img class="figure" alt="{0}" src="{1}"></div>'
        "<figcaption>{0}</figcaption></figure>"
    ).format(alt, source, Markup(' class="wide"') if _is_wide(kind, value) else "")


def _is_wide(kind: str, value: str) -> bool:
    """Whether a PNG is so wide that what is written in it cannot be read on a phone."""
    # Width is the first number of the first chunk, behind 8 bytes of signature and 8 of its head.
    head = "".join(value.split())[:32] if kind == "image/png" else ""
    try:
        return int.from_bytes(base64.b64decode(head, validate=True)[16:20]) > _WIDE
    except ValueError:
        return False


def _output(output: "NotebookNode", heading: str, checked: bool) -> Markup:
    """One output of a cell as safe HTML; empty where there is nothing for a reader.

    A picture without a description is captioned with the heading above it. Of a ``checked`` cell
    the prints are facts that a test compares, and are folded up.
    """
    if output.output_type == "stream":
        return _stream(output, checked)
    if output.output_type == "error":
        return Markup('<pre class="error">{}</pre>').format(
            _without_colours("\n".join(output.traceback))
        )
    data = {kind: _text(value) for kind, value in output.get("data", {}).items()}
    described = output.get("metadata", {}).get("image/png", {}).get("alt")
    return _displayed(data, str(described or heading))


def _stream(output: "NotebookNode", checked: bool) -> Markup:
    """What a cell printed; messages on standard error and checks are folded up."""
    text = _without_colours(_text(output.text)).strip("\n")
    if not text:
        return Markup()
    if output.name == "stderr" or checked:
        return Markup(
            '<details class="messages"><summary>{}</summary><pre>{}</pre></details>'
        ).format("Messages" if output.name == "stderr" else "Facts that a test checks", text)
    if _ALIGNED.search(text):
        return Markup("<pre>{}</pre>").format(text)
    return Markup("<p>{}</p>").format(Markup("<br>").join(text.split("\n")))


def _displayed(data: dict[str, str], alt: str) -> Markup:
    """The best of the forms in which a cell displayed one thing."""
    if _WIDGET in data:
        return Markup()
    if "text/html" in data:
        html = _sanitized(_for_people(BeautifulSoup(data["text/html"], "html.parser")))
        if html:
            return Markup('<div class="scroll">{}</div>').format(html)
    for kind in _IMAGES:
        if kind in data:
            return _image(kind, data[kind], alt)
    if "text/markdown" in data:
        return _sanitized(_markdown(data["text/markdown"]))
    if "text/plain" in data:
        return Markup("<pre>{}</pre>").format(_without_colours(data["text/plain"]))
    return Markup()


def _for_people(soup: BeautifulSoup) -> BeautifulSoup:
    """Tables without the index that pandas writes where the rows have no names, dashes for NaN.

    Cells that may be broken over lines are marked.
    """
    for table in soup("table"):
        rows = table.select("tbody tr")
        for cell in table(["td", "th"]):
            if len(cell.get_text(strip=True)) > _LONG:
                cell["class"] = "long"
        for column in zip(*(row("td") for row in rows), strict=False):
            texts = {cell.get_text(strip=True) for cell in column}
            # A class may be called "NaN": only among numbers it is one that is not known.
            if all(_NUMBER.fullmatch(text) for text in texts - {"NaN"}):
                for cell in column:
                    cell.string = cell.get_text(strip=True).replace("NaN", "–")
        heads = [row.find("th") for row in rows]
        numbers = [head and head.get_text(strip=True) for head in heads]
        corners = [row.find("th") for row in table.select("thead tr")]
        if not heads or numbers != [str(number) for number in range(len(heads))]:
            continue
        if any(corner is None or corner.get_text(strip=True) for corner in corners):
            continue
        for cell in filter(None, (*heads, *corners)):
            cell.decompose()
    return soup


@dataclass
class _Section:
    """A section of the notebook: its heading, and the HTML blocks below it."""

    anchor: str = ""
    heading: str = ""
    blocks: list[Markup] = field(default_factory=list)
    # Headings below it, as (level, anchor, text).
    inner: list[tuple[int, str, str]] = field(default_factory=list)


def _sections(cells: list["NotebookNode"]) -> list[_Section]:
    """The notebook's sections in order; the first one is what stands before any heading."""
    sections, count = [_Section()], 0
    for cell in cells:
        if cell.cell_type == "markdown":
            soup = _markdown(cell.source, cell.get("attachments"))
            for element in list(soup.children):
                if isinstance(element, Tag) and element.name in ("h1", "h2", "h3"):
                    count += 1
                    element["id"] = f"section-{count}"
                    text = element.get_text(" ", strip=True)
                    if element.name == "h3":
                        sections[-1].inner.append((3, f"section-{count}", text))
                    else:
                        sections.append(_Section(f"section-{count}", text))
                sections[-1].blocks.append(_sanitized(BeautifulSoup(str(element), "html.parser")))
        elif cell.cell_type == "code":
            heading, checked = _last_heading(sections), _CHECKED in cell.source
            sections[-1].blocks += [_output(one, heading, checked) for one in cell.outputs]
    for section in sections:
        section.blocks = [block for block in section.blocks if block]
    return [section for section in sections if section.blocks]


def _last_heading(sections: Sequence[_Section]) -> str:
    """The innermost heading above what comes next."""
    section = sections[-1]
    return section.inner[-1][2] if section.inner else section.heading or "notebook"


def notebook_to_html(
    notebook: str | Path,
    html: str | Path,
    title: str | None = None,
    remarks: Sequence[str] = (),
    summary: Mapping[str, Any] | None = None,
) -> Path:
    """Export an executed notebook as one self-contained page: text and results, no code.

    Scripts, remote pictures, frames, forms and widgets are left out, whatever the notebook's
    Markdown and outputs hold; a content security policy in the page forbids them once more.
    Messages on standard error are folded up. Where the summary has an answer, the page begins with
    it, and the notebook's sections are folded.

    Parameters
    ----------
    notebook
        The executed ``.ipynb``. Figures that the answer names are looked for beside it.
    html
        The page to write, at once or not at all.
    title
        Title of the page; by default the notebook's first heading.
    remarks
        Sentences on the data that whoever reads the results should know: a box under the title.
    summary
        The run's ``summary.json``.

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
    import nbformat

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
    sections = _sections(node.cells)
    headed = [section for section in sections if section.heading]
    page = page_template("report.html", data_uri=png_uri).render(
        title=title or (headed[0].heading if headed else notebook.stem),
        sections=sections,
        contents=_contents(headed),
        notebook=notebook.name,
        remarks=remarks,
        head=_facts(summary or {}),
        answer=_answer((summary or {}).get("answer"), notebook.parent),
    )
    write_text(html, _numbered(page))
    return Path(html)


def _numbered(page: str) -> str:
    """A page whose figures are counted; a style's counter would pass over those that are folded."""
    numbers = itertools.count(1)
    return re.sub("<figcaption>", lambda found: f"{found[0]}Figure {next(numbers)}. ", page)


def _contents(headed: Sequence[_Section]) -> list[tuple[int, str, str]]:
    """The headings as (level, anchor, text), without the title."""
    found: list[tuple[int, str, str]] = []
    for position, section in enumerate(headed):
        found += [(2, section.anchor, section.heading)] * (position > 0) + section.inner
    return found


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the run was about: category, detector, number of test images, date."""
    if not summary:
        return []
    data = summary.get("data") or {}
    root = data.get("root")
    counts = (data.get("counts") or {}).get("test") or {}
    facts = {
        "category": summary.get("category"),
        "run": summary.get("name"),
        "data": "rendered images" if str(root).startswith("rendered/") else root,
        "detector": summary.get("detector"),
        "test images": sum(counts.values()) or None,
        "date": date.today().isoformat(),
    }
    return [(name, str(value)) for name, value in facts.items() if value]


def _answer(answer: Mapping[str, Any] | None, folder: Path) -> dict[str, Any] | None:
    """The answer with the pictures that it names, those that there are."""
    if not answer:
        return None
    files = [folder / look["figure"] for look in answer["look_first"]]
    looks = [
        look | {"picture": file.read_bytes()}
        for look, file in zip(answer["look_first"], files, strict=True)
        if file.is_file()
    ]
    verdicts = folder / "figures" / "verdicts.png"
    return {
        **answer,
        "kind": ANSWER_KINDS.get(answer["answer"], "few"),
        "look_first": looks,
        "verdicts": verdicts.read_bytes() if verdicts.is_file() else None,
    }
