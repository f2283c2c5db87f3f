"""Pages read back as a browser would, and what makes them safe."""

import html.parser
import re

import pytest


class _Page(html.parser.HTMLParser):
    """All elements of a page with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self._hidden = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._hidden = tag == "style"

    def handle_endtag(self, tag):
        self._hidden = False

    def handle_data(self, data):
        self.text += "" if self._hidden else data

    def attributes(self, tag, name):
        return [
            attributes[name]
            for found, attributes in self.elements
            if found == tag and name in attributes
        ]


def _self_contained(text):
    page = _Page(text)
    for tag, attributes in page.elements:
        assert tag not in ("script", "iframe", "object", "embed", "link", "base", "form", "svg")
        assert not [
            name
            for name in attributes
            if name.startswith("on") or name in ("srcset", "background", "poster")
        ]
        assert attributes.get("src", "data:image/").startswith("data:image/")
        if tag != "a":
            assert "href" not in attributes
        assert not re.match(r"\s*(javascript|data|vbscript):", attributes.get("href", ""), re.I)
        assert "url(" not in attributes.get("style", "")
    for style in re.findall(r"<style>(.*?)</style>", text, re.S):
        assert "url(" not in style and "@import" not in style and "//" not in style
    policy = [
        attributes["content"]
        for tag, attributes in page.elements
        if tag == "meta" and "http-equiv" in attributes
    ]
    assert len(policy) == 1 and "default-src 'none'" in policy[0] and "script" not in policy[0]
    return page


@pytest.fixture
def Page():
    """Reads the text of a page: its elements with their attributes, and what a reader sees."""
    return _Page


@pytest.fixture
def assert_self_contained():
    """Reads the text of a page and asserts that it runs nothing and loads nothing."""
    return _self_contained
