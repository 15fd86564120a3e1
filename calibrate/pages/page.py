"""The page of a report or a form: one file that needs no other. Markup and look are in `templates/`, text comes from here.

Whatever is given to a template is text, and is escaped: only the drawings of `calibrate.pages.charts` are markup.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

Pair = tuple[str, str]  # a name, and what it is


class Tile(NamedTuple):
    """A figure that is read first."""

    name: str
    value: str
    small: str  # what is said below it
    tone: str  # good, fair, poor, or empty
    rating: str


class Row(NamedTuple):
    """A row of a table; the first cell is its name."""

    cells: tuple[str, ...]
    kind: str = ""  # strong, flips, or empty


def render(template: str, **data: object) -> str:
    """The page, as HTML. What a template names and is not given is an error (jinja2.UndefinedError)."""
    return _templates().get_template(template).render(data)


def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("calibrate.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["base64"] = lambda content: base64.b64encode(content).decode()
    return made
