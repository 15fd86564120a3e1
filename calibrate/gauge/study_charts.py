"""The charts of a gauge study's form, as SVG to be put into its page."""

from __future__ import annotations

import math

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

from calibrate.gauge.study import Study
from calibrate.pages.charts import BLUE, INK, RED, SOFT, drawn, svg

LOG_FROM = 4.0  # highest over lowest value from which the axis is logarithmic
FINE_UP_TO = 300.0  # highest over lowest value up to which it is marked at 1, 2 and 5
MOST_LABELS = 25
BOTH, JOINED = "#fff1cf", "#9fb4c9"  # behind a part that got both verdicts; between the ranges of an appraiser


def score_chart(study: Study) -> Markup:
    """Each take's score above its part, the part's mean, and the threshold."""
    scores = np.array([take.score for take in study.takes]).reshape(study.parts_count, -1)
    passed = np.array([take.passed for take in study.takes]).reshape(scores.shape)
    parts = np.arange(1, study.parts_count + 1)
    across = parts[:, None] + _spread(scores.shape[1], 0.6)
    with drawn(f"Score ({study.header.score}) of each take") as (figure, axes):
        for i, part in enumerate(study.parts, start=1):
            if part.flips:
                axes.axvspan(i - 0.5, i + 0.5, color=BOTH, linewidth=0)
        axes.hlines([part.mean for part in study.parts], parts - 0.4, parts + 0.4, color=INK, linewidth=1.2)
        for kind, which, colour in (("pass", passed, BLUE), ("reject", ~passed, RED)):
            axes.plot(across[which], scores[which], "o", color=colour, markersize=3, label=kind, gid=f"scores-{kind}")
        axes.axhline(study.threshold, color=RED, linestyle="--", linewidth=1.2, label=f"threshold {study.threshold:.4g}")
        _scale(axes, [*scores.flat, study.threshold])
        return _finished(figure, axes, study, columns=3)


def range_chart(study: Study) -> Markup:
    """Highest less lowest deviation of each part's repeats (and appraiser's), with mean and control limits."""
    ranges = study.ranges
    values = np.array(ranges.values)  # (parts, appraisers)
    parts = np.arange(1, study.parts_count + 1)
    across = parts[:, None] + _spread(values.shape[1], 0.5)
    over = values > ranges.upper
    with drawn("Range of each part's deviations") as (figure, axes):
        axes.plot(across, values, color=JOINED, linewidth=1.2)
        for kind, which, colour in (("within", ~over, BLUE), ("over", over, RED)):
            axes.plot(across[which], values[which], "o", color=colour, markersize=4, gid=f"ranges-{kind}")
        axes.axhline(ranges.upper, color=RED, linestyle="--", linewidth=1.2, label=f"upper control limit {ranges.upper:.3g}")
        axes.axhline(ranges.mean, color=SOFT, linewidth=1.0, label=f"mean range {ranges.mean:.3g}")
        if ranges.lower > 0:
            axes.axhline(ranges.lower, color=RED, linestyle=":", linewidth=1.2, label=f"lower control limit {ranges.lower:.3g}")
        axes.set_ylim(bottom=0)
        return _finished(figure, axes, study, columns=2)


def _spread(count: int, width: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """So many places side by side, as distances from their middle."""
    return width * ((np.arange(count) + 0.5) / count - 0.5)


def _scale(axes: Axes, values: list[float]) -> None:
    """Logarithmic where the values are far apart."""
    low, high = min(values), max(values)
    if low <= 0 or high / low <= LOG_FROM:
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < FINE_UP_TO else (1,)))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%.4g"))
    axes.yaxis.set_minor_locator(NullLocator())


def _finished(figure: Figure, axes: Axes, study: Study, columns: int) -> Markup:
    """With the numbers of the parts below, and the key below them, where no mark is hidden by it."""
    axes.set_xlim(0.5, study.parts_count + 0.5)
    axes.set_xticks(range(1, study.parts_count + 1, math.ceil(study.parts_count / MOST_LABELS)))
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("part")
    figure.legend(loc="outside lower center", ncols=columns, fontsize=9)
    return svg(figure)
