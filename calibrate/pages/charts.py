"""How charts look, and their forms: SVG to be put into a page, sharp at any size and on paper, and PNG for elsewhere."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, SOFT, LINE, BLUE, RED, AMBER = "#1d2733", "#5c6875", "#d8dee5", "#1f5f99", "#b3261e", "#d08700"
SIZE = (5.0, 3.1)  # inches: two side by side on a page, and letters that can be read on a phone
STYLE: Any = {
    "font.size": 10,
    "font.family": "sans-serif",
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "page",  # the same chart, the same bytes
}
WITHOUT: Any = {"Date": None, "Creator": None, "Format": None, "Type": None}  # metadata that only say what drew it, and when


@contextmanager
def drawn(title: str) -> Iterator[tuple[Figure, Axes]]:
    """A figure and its axes, in the style of all charts; to be turned into bytes within the context."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        yield figure, figure.add_subplot(title=title)


def svg(figure: Figure) -> Markup:
    """An element to be put into a page; matplotlib escapes its texts."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata=WITHOUT)
    text = file.getvalue()
    return Markup(text[text.index("<svg") :])


def png(figure: Figure, dpi: int = 200) -> bytes:
    """A picture of so many pixels an inch."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()
