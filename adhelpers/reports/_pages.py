"""The templates of the pages that this room writes."""

import base64
import hashlib
from collections.abc import Callable
from importlib import resources
from io import BytesIO

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from PIL import Image

# How each answer of a run is coloured.
ANSWER_KINDS = {
    "Use it": "use",
    "Use the simpler one": "simpler",
    "Do not trust it yet": "not",
    "Not enough images to say": "few",
}

_WEBP_METHOD = 1


def page_template(name: str, **filters: Callable[..., object]) -> Template:
    """The template ``name`` of the folder ``templates``; every text that goes in is escaped."""
    environment = Environment(
        loader=PackageLoader("adhelpers.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(name)


def png_uri(picture: bytes) -> str:
    """A PNG as the source of an image in a page that loads nothing."""
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def webp_uri(picture: bytes) -> str:
    """A WebP picture as the source of an image in a page that loads nothing."""
    return "data:image/webp;base64," + base64.b64encode(picture).decode()


def webp_bytes(picture: Image.Image, quality: int = 80) -> bytes:
    """A picture as WebP; from a quality of 80 on, of 100, the loss is barely visible."""
    content = BytesIO()
    # Of the methods 0 to 6 the slowest one saves a tenth of the size at five times the time.
    picture.save(content, format="webp", quality=quality, method=_WEBP_METHOD)
    return content.getvalue()


def page_script(name: str) -> dict[str, str]:
    """A script of the folder ``templates`` for a page, with the hash that its policy names.

    Only this script may run: a text that got past the escaping would still do nothing.
    """
    script = (resources.files("adhelpers.reports") / "templates" / name).read_text(encoding="utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    return {"script": Markup(script), "script_hash": base64.b64encode(digest).decode()}
