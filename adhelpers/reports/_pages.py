"""The templates of the pages that this room writes."""

import base64
from collections.abc import Callable

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


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
