"""The charts of a gauge study's form, as SVG to be put into its page: sharp at any size and on paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from calibrate.gauge.study import Study

WIDTH, HEIGHT = 560, 320  # of the drawing; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 30, 40
LOG_FROM = 4.0  # highest over lowest value from which the axis is logarithmic
MOST_LABELS = 25
Scale = Callable[[float], float]


def score_chart(study: Study) -> str:
    """Each take's score above its part, the part's mean, and the threshold."""
    values = [take.score for take in study.takes]
    scale, ticks = _axis([*values, study.threshold], log=_wide([*values, study.threshold]))
    marks = []
    slot = (WIDTH - LEFT - RIGHT) / study.parts_count
    per_part = len(values) // study.parts_count
    for i, part in enumerate(study.parts):
        half, y = slot * 0.4, scale(part.mean)
        if part.flips:
            marks.append(
                f'<rect class="flip" x="{_x(study, i) - slot / 2:.1f}" y="{TOP}" width="{slot:.1f}" height="{_inner()}"/>'
            )
        marks.append(
            f'<line class="mean" x1="{_x(study, i) - half:.1f}" x2="{_x(study, i) + half:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        for j, take in enumerate(study.takes[i * per_part : (i + 1) * per_part]):
            x = _x(study, i) + slot * 0.6 * ((j + 0.5) / per_part - 0.5)
            kind = "pass" if take.passed else "reject"
            marks.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{scale(take.score):.1f}" r="2.6"/>')
    marks.append(_level(scale(study.threshold), "threshold", f"threshold {study.threshold:.4g}"))
    key = (("pass", "pass"), ("reject", "reject"))
    return _chart(f"Score ({study.header.score}) of each take", study, ticks, marks, key)


def range_chart(study: Study) -> str:
    """Highest less lowest deviation of each part's repeats (and appraiser's), with mean and control limits."""
    ranges = study.ranges
    scale, ticks = _axis([0.0, ranges.upper, *(value for row in ranges.values for value in row)], log=False)
    marks = []
    slot = (WIDTH - LEFT - RIGHT) / study.parts_count
    for column in range(len(study.appraisers)):
        shift = slot * 0.5 * ((column + 0.5) / len(study.appraisers) - 0.5)
        at = [(_x(study, i) + shift, scale(row[column])) for i, row in enumerate(ranges.values)]
        marks.append('<polyline class="line" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in at) + '"/>')
        marks += [
            f'<circle class="{"reject" if row[column] > ranges.upper else "pass"}" cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>'
            for (x, y), row in zip(at, ranges.values, strict=True)
        ]
    marks.append(_level(scale(ranges.upper), "threshold", f"upper control limit {ranges.upper:.3g}"))
    marks.append(_level(scale(ranges.mean), "average", f"mean range {ranges.mean:.3g}"))
    if ranges.lower > 0:
        marks.append(_level(scale(ranges.lower), "threshold", f"lower control limit {ranges.lower:.3g}"))
    return _chart("Range of each part's deviations", study, ticks, marks, ())


def _inner() -> int:
    return HEIGHT - TOP - BOTTOM


def _x(study: Study, i: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (i + 0.5) / study.parts_count


def _level(y: float, kind: str, text: str) -> str:
    """A line across, named at its right end."""
    return (
        f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="name" x="{WIDTH - RIGHT - 2}" y="{y - 4:.1f}" text-anchor="end">{escape(text)}</text>'
    )


def _chart(
    title: str, study: Study, ticks: Sequence[tuple[float, str]], marks: list[str], key: Sequence[tuple[str, str]]
) -> str:
    rows = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        for y, text in ticks
    ]
    every = math.ceil(study.parts_count / MOST_LABELS)
    labels = [
        f'<text x="{_x(study, i):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{i + 1}</text>'
        for i in range(0, study.parts_count, every)
    ]
    legend = [
        f'<circle class="{kind}" cx="{WIDTH - RIGHT - 60 * (len(key) - i) + 6}" cy="14" r="4"/>'
        f'<text x="{WIDTH - RIGHT - 60 * (len(key) - i) + 14}" y="18">{text}</text>'
        for i, (kind, text) in enumerate(key)
    ]
    axis = f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">part</text>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<text class="title" x="{LEFT - 46}" y="18">{escape(title)}</text>'
        + "".join((*legend, *rows, *labels, axis, *marks))
        + "</svg>"
    )


def _wide(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > LOG_FROM


def _axis(values: Sequence[float], log: bool) -> tuple[Scale, list[tuple[float, str]]]:
    """From values to heights in the drawing, and round values with their heights and texts."""
    low, high = min(values), max(values)
    if log:
        low, high = low / 1.15, high * 1.15
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = (1, 2, 5) if high / low < 300 else (1,)
        round_values = [step * 10.0**power for power in powers for step in steps]
        onto: Scale = math.log10
    else:
        margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
        low, high = (0.0 if low == 0 else low - margin), high + margin
        step = 10 ** math.floor(math.log10((high - low) / 3))
        step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
        round_values = [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
        onto = float
    bottom, top = onto(low), onto(high)

    def scale(value: float) -> float:
        return TOP + _inner() * (1 - (onto(value) - bottom) / (top - bottom))

    return scale, [(scale(value), f"{value:.4g}") for value in round_values if low <= value <= high]
