"""The picture "what this line can see": for each kind of defect examples of rising size, and a map of what was found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from calibrate.detection.detectability import Cell, Curve, Detectability
from calibrate.detection.injection import KINDS, Drawn, Mask, draw
from calibrate.pages.charts import png
from engines.pictures.geometry import Pixels

EXAMPLES, PLACES = 6, 300
SHOWN_CONTRAST = 32  # grey levels, of the examples
COLOURS = ("#b5541c", "#f2c9a1", "#eef1f4", "#9cc4e4", "#1f6fb2")  # missed to found; told apart by colour-blind people, too
INK, QUIET, MARK = "#1b1f24", "#5b6570", "#0b7a3b"
WINDOW = 1.6  # of an example, in sizes of the largest defect shown
LEAST_WINDOW = 40  # pixels of the frame


def detectability_png(seen: Detectability, samples: Sequence[Pixels], where: Mask) -> bytes:
    """Draw it; ``samples`` are the frames that defects were drawn onto, ``where`` (H, W) what is inspected of them."""
    kinds = [kind for kind in KINDS if any(curve.kind == kind for curve in seen.curves)]
    figure = Figure(figsize=(17, 2.3 + 2.95 * len(kinds)), facecolor="white")
    height = figure.get_figheight()
    figure.text(0.025, 1 - 0.48 / height, "What this line can see", fontsize=25, fontweight="bold", color=INK, va="center")
    figure.text(0.025, 1 - 0.92 / height, _subtitle(seen), fontsize=12, color=QUIET, va="center")
    figure.text(0.025, 0.45 / height, _legend(seen), fontsize=10.5, color=QUIET, va="center", linespacing=1.5)
    rows = figure.add_gridspec(len(kinds), 1, left=0.025, right=0.985, top=1 - 1.85 / height, bottom=1.55 / height, hspace=0.72)
    for row, kind in enumerate(kinds):
        curves = [curve for curve in seen.curves if curve.kind == kind]
        cells = rows[row].subgridspec(1, EXAMPLES + 2, width_ratios=[1] * EXAMPLES + [0.25, 4.2], wspace=0.09)
        _examples(figure, cells, seen, curves, samples, where)
        _map(figure.add_subplot(cells[0, EXAMPLES + 1]), seen, curves, last=row == len(kinds) - 1)
    return png(figure, dpi=110)


def _headline(seen: Detectability, curve: Curve) -> str:
    """What is found at the contrast of the examples, in a sentence."""
    if curve.smallest is None:
        return f"At {curve.contrast} grey levels: at no size tried found with {_per_cent(seen.probability)} probability"
    bound = "not shown" if curve.smallest_bound is None else f"from {size_text(seen, curve.smallest_bound)}"
    return (
        f"At {curve.contrast} grey levels: found from {size_text(seen, curve.smallest)}; "
        f"with {_per_cent(seen.confidence)} confidence {bound}"
    )


def size_text(seen: Detectability, size: float | None) -> str:
    """A size in pixels and per cent; or that there is none."""
    return "-" if size is None else f"{seen.pixels(size):.{0 if seen.pixels(size) >= 10 else 1}f} px ({size:.2g} %)"


def _subtitle(seen: Detectability) -> str:
    return (
        f"Recipe {seen.recipe} ({seen.recipe_digest[:12]}), thresholds version {seen.thresholds_version}, {seen.engine}; "
        f"defects drawn onto {seen.samples} good parts that took no part in the fit; {seen.created[:16].replace('T', ' ')} UTC"
    )


def _legend(seen: Detectability) -> str:
    share, sure = _per_cent(seen.probability), _per_cent(seen.confidence)
    return (
        f"Found: the line would have rejected the part.  Green frame: the smallest example found with {share} probability.\n"
        f"Maps: black line, the size found with {share} probability (best estimate); dashed, no larger than this with {sure} "
        f"confidence; pale, not tried: larger than what is found, smaller than what is missed.\n"
        f"Sizes: longest extent, in per cent of the inspected region's shorter side ({seen.region_px} px).  Contrast: mean "
        "change of the pixels under it, of 255 grey levels.  Real defects are seen as these are as far as they look like them."
    )


def _per_cent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _examples(
    figure: Any, grid: Any, seen: Detectability, curves: Sequence[Curve], samples: Sequence[Pixels], where: Mask
) -> None:
    """A row of crops at one contrast, the found share under each."""
    drawable = [curve for curve in curves if curve.cells]
    axes = [figure.add_subplot(grid[0, i]) for i in range(EXAMPLES)]
    for axis in axes:
        axis.set_axis_off()
    kind = curves[0].kind
    place = axes[0].transAxes
    name = axes[0].text(0, 1.3, kind.capitalize(), fontsize=16, fontweight="bold", color=INK, transform=place)
    axes[0].annotate(f"   {KINDS[kind].meaning}", (1, 0), xycoords=name, fontsize=11, color=QUIET, va="bottom")
    if not drawable:
        axes[0].text(0, 1.1, "This product has no place for it.", fontsize=12, color=INK, transform=place)
        return
    # The usual contrast, or the next one at which something is found.
    curve = min(drawable, key=lambda one: (one.smallest is None, abs(math.log(one.contrast / SHOWN_CONTRAST))))
    axes[0].text(0, 1.1, _headline(seen, curve), fontsize=12, color=INK, transform=place)
    cells = _about(curve)
    drawn = _draw_all(seen, curve, cells, samples, where)
    side = max(LEAST_WINDOW, WINDOW * cells[-1].size_px)
    smallest = next((cell for cell in cells if curve.smallest is not None and cell.size >= curve.smallest * 0.999), None)
    for axis, cell, one in zip(axes, cells, drawn, strict=False):
        text = f"{cell.size_px:.{0 if cell.size_px >= 10 else 1}f} px\nfound {cell.found} of {cell.trials}"
        axis.text(
            0.5, -0.05, text, fontsize=11, color=MARK if cell is smallest else INK, ha="center", va="top", linespacing=1.35,
            fontweight="bold" if cell is smallest else "normal", transform=axis.transAxes,
        )  # fmt: skip
        if one is None:
            axis.text(0.5, 0.5, "no place", fontsize=11, color=QUIET, ha="center", transform=axis.transAxes)
            continue
        crop = _crop(one, round(side))
        axis.imshow(crop, cmap="gray", vmin=0, vmax=255, interpolation="lanczos")
        if cell is smallest:
            axis.add_patch(_frame(axis))


def _about(curve: Curve) -> list[Cell]:
    """The sizes to show: what was tried about the smallest size that is found."""
    cells = list(curve.cells)
    found = next(
        (i for i, cell in enumerate(cells) if curve.smallest is not None and cell.size >= curve.smallest * 0.999),
        len(cells) - 1,
    )
    first = max(0, min(found - EXAMPLES + 3, len(cells) - EXAMPLES))
    return cells[first : first + EXAMPLES]


def _draw_all(
    seen: Detectability, curve: Curve, cells: Sequence[Cell], samples: Sequence[Pixels], where: Mask
) -> list[Drawn | None]:
    """The same defect at the same place in all sizes; where one of them cannot be, the best place found."""
    rng = np.random.default_rng(seen.seed)
    best: list[Drawn | None] = [None] * len(cells)
    for place in range(PLACES):
        image, donor = (samples[int(rng.integers(len(samples)))] for _ in range(2))
        centre, look = (int(rng.integers(image.shape[1])), int(rng.integers(image.shape[0]))), int(rng.integers(2**32))
        drawn: list[Drawn | None] = []
        for cell in reversed(cells):
            drawn.insert(
                0, draw(image, donor, where, curve.kind, cell.size_px, curve.contrast, centre, np.random.default_rng(look))
            )
            if drawn[0] is None and place < PLACES // 2:  # the next place may do for all
                break
        if len(drawn) < len(cells):
            continue
        if sum(one is not None for one in drawn) > sum(one is not None for one in best):
            best = drawn
        if all(one is not None for one in best):
            break
    return best


def _crop(drawn: Drawn, side: int) -> Pixels:
    """A square about the defect, within the frame."""
    x, y, width, height = drawn.box
    rows, columns = drawn.image.shape[:2]
    side = min(side, rows, columns)
    left = min(max(0, x + width // 2 - side // 2), columns - side)
    top = min(max(0, y + height // 2 - side // 2), rows - side)
    return drawn.image[top : top + side, left : left + side]


def _frame(axis: Any) -> Any:
    return Rectangle((0, 0), 1, 1, transform=axis.transAxes, fill=False, edgecolor=MARK, linewidth=6, clip_on=False)


def _map(axis: Any, seen: Detectability, curves: Sequence[Curve], last: bool) -> None:
    """Shares found by size and contrast, and the line of 95 %."""
    colours = LinearSegmentedColormap.from_list("found", COLOURS)
    sizes = seen.sizes
    for row, curve in enumerate(reversed(curves)):
        by_size = {cell.size: cell for cell in curve.cells}
        for column, size in enumerate(sizes):
            if (cell := by_size.get(size)) is not None:
                share, alpha = cell.found / cell.trials, 1.0
            elif by_size and (size > max(by_size) or size < min(by_size)):
                share, alpha = float(size > max(by_size) and curve.cells[-1].share > 0.5), 0.28
            else:
                share, alpha = 0.5, 0.0
            axis.fill_between(
                [column - 0.5, column + 0.5], row - 0.5, row + 0.5, color=colours(share), alpha=alpha, linewidth=0
            )
            if cell is not None:
                dark = share > 0.85 or share < 0.15
                axis.text(
                    column,
                    row,
                    f"{share:.0%}".replace("%", ""),
                    fontsize=9.5,
                    ha="center",
                    va="center",
                    color="white" if dark else INK,
                )
        if not by_size:
            axis.text(
                (len(sizes) - 1) / 2,
                row,
                "no place for it on this product",
                fontsize=9.5,
                color=QUIET,
                ha="center",
                va="center",
            )
    for style, width, ends in (("-", 2.6, [c.smallest for c in curves]), ("--", 1.4, [c.smallest_bound for c in curves])):
        x = [np.nan if end is None else np.log2(end / sizes[0]) * 2 for end in ends for _ in range(2)]  # NaN: a gap
        y = [edge for i in range(len(curves)) for edge in (len(curves) - i - 0.5, len(curves) - i - 1.5)]
        axis.plot(x, y, style, color=INK, linewidth=width, solid_capstyle="butt")
    axis.set_xlim(-0.5, len(sizes) - 0.5)
    axis.set_ylim(-0.5, len(curves) - 0.5)
    axis.set_yticks(range(len(curves)), [str(curve.contrast) for curve in reversed(curves)], fontsize=10)
    shown = range(len(sizes) - 1, -1, -2)
    axis.set_xticks(list(shown), [f"{seen.pixels(sizes[i]):.0f} px\n{sizes[i]:.2g} %" for i in shown], fontsize=9.5)
    axis.set_ylabel("contrast", fontsize=10.5, color=QUIET)
    if last:
        axis.set_xlabel("size of the defect", fontsize=10.5, color=QUIET)
    axis.set_title("Share found, per cent", fontsize=10.5, color=INK, loc="left")
    axis.tick_params(length=0, colors=INK)
    for spine in axis.spines.values():
        spine.set_color("#c8ced4")
