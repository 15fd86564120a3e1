"""XML as lines: vendors' tools look at the order of elements and attributes, and at CDATA."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'


def element(name: str, /, *inside: Iterable[str], **attributes: str) -> Iterator[str]:
    """An element with elements in it, each given as its lines."""
    lines = [line for part in inside for line in part]
    if not lines:
        yield f"<{_start(name, attributes)}/>"
        return
    yield f"<{_start(name, attributes)}>"
    yield from (f"  {line}" for line in lines)
    yield f"</{name}>"


def text(name: str, content: str, /, **attributes: str) -> Iterator[str]:
    """An element with text in it, which is not indented: each blank counts."""
    yield f"<{_start(name, attributes)}>{escape(content)}</{name}>"


def cdata(name: str, content: str, /, **attributes: str) -> Iterator[str]:
    """An element with text that is not escaped."""
    assert "]]>" not in content
    yield f"<{_start(name, attributes)}><![CDATA[{content}]]></{name}>"


def comment(content: str) -> Iterator[str]:
    """A comment of paragraphs."""
    assert "--" not in content
    yield "<!--"
    for i, paragraph in enumerate(content.strip().split("\n\n")):
        yield from [""] * bool(i)
        for line in paragraph.splitlines():
            yield from (f"  {each}" for each in textwrap.wrap(line, 116, break_on_hyphens=False))
    yield "-->"


def _start(name: str, attributes: dict[str, str]) -> str:
    return " ".join([name, *(f"{key}={quoteattr(value)}" for key, value in attributes.items())])
