"""The templates of the pages that this room writes."""

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
