"""Reads a page as a browser does: its text, its elements, and what it would load."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = ("meta", "img", "br")


class PageReader(HTMLParser):
    """A page's elements, links and text. AssertionError for an element that is not closed in its place."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []  # what the page would load or lead to
        self.tags: list[str] = []
        self._open: list[str] = []
        self._text = ""
        self.feed(str(page))  # a Markup would escape anew what the parser reads
        self.close()
        assert not self._open, self._open

    @property
    def text(self) -> str:
        """All text, each run of white space as one space."""
        return re.sub(r"\s+", " ", self._text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        assert not [name for name, _ in attrs if name.startswith("on")], "no code in an attribute"
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """See `HTMLParser`."""
        assert self._open.pop() == tag, "every element is closed in its place"

    def handle_data(self, data: str) -> None:
        """See `HTMLParser`."""
        if not (self._open and self._open[-1] == "style"):
            self._text += data

    def loads_nothing(self) -> bool:
        """Whether all its links, of which there are some, lead to what is in it."""
        return bool(self.links) and all(link.startswith(("data:image/png;base64,", "#")) for link in self.links)
