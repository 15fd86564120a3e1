"""The charts of a calibration report, each as SVG for the page and as PNG for elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from calibrate.pages.charts import AMBER, BLUE, RED, drawn, png, svg
from calibrate.thresholds.trade_off import trade_off
from engines.recipe.bundle import Manifest
from engines.recipe.thresholds import Thresholds

FEWEST_BINS, MOST_BINS = 8, 40


class Chart(NamedTuple):
    """One chart in two forms."""

    svg: Markup  # an element to be put into a page
    png: bytes


def deviation_chart(thresholds: Thresholds) -> Chart:
    """How far held-out good parts, and known rejects, are from typical ones; and the limit."""
    good = np.array([one.deviation for one in thresholds.samples])
    rejects = np.array([one.deviation for one in thresholds.rejects])
    shown = np.concatenate([good, rejects, [thresholds.limit]])
    low, high = float(shown.min()), float(shown.max())
    margin = 0.1 * (high - low) or 1.0
    count = int(np.clip(3 * np.sqrt(len(shown)), FEWEST_BINS, MOST_BINS))
    bins = list(np.linspace(low - margin, high + margin, count + 1))
    with drawn("Deviation from typical good parts") as (figure, axes):
        axes.hist(good, bins, color=BLUE, alpha=0.85, label=f"held-out good parts ({len(good)})")
        if len(rejects):
            axes.hist(rejects, bins, color=AMBER, alpha=0.75, label=f"known rejects ({len(rejects)})")
        axes.axvline(thresholds.limit, color=RED, linewidth=1.6, label=f"limit {thresholds.limit:.2f}")
        estimate = thresholds.guarantee.estimate
        if estimate is not None and estimate.low is not None and estimate.high is not None:
            axes.axvspan(
                estimate.low, min(estimate.high, bins[-1]), color=RED, alpha=0.08, label="90 % interval of the estimate"
            )
        axes.set(xlabel="standard deviations of the logarithm", ylabel="parts")
        axes.set_xlim(bins[0], bins[-1])
        axes.legend()
        return _chart(figure)


def curve_chart(manifest: Manifest) -> Chart | None:
    """The fit's loss from its first step to its last, and the loss on held-out samples; None of a memory alone."""
    if manifest.held_out_loss is None:
        return None
    curve = np.array(manifest.curve)
    steps = (np.arange(len(curve)) + 0.5) * manifest.steps / len(curve)
    with drawn("Loss of the fit") as (figure, axes):
        axes.plot(steps, curve, color=BLUE, linewidth=1.6, label="while fitting, tokens masked")
        axes.plot([manifest.steps], [manifest.held_out_loss], "o", color=RED, label=f"held out: {manifest.held_out_loss:.3f}")
        axes.set(xlabel="step", ylabel="loss")
        axes.set_ylim(bottom=0)
        axes.legend()
        return _chart(figure)


def trade_off_chart(thresholds: Thresholds) -> Chart:
    """Detected rejects over the guaranteed rate of false rejects; for thresholds that were got with known rejects."""
    rows = trade_off(thresholds)
    with drawn("What other limits would cost and detect") as (figure, axes):
        axes.plot(
            [100 * row.guaranteed for row in rows], [100 * row.detected for row in rows], color=BLUE, drawstyle="steps-post"
        )
        present = next(row for row in rows if row.limit == thresholds.limit)
        axes.plot([100 * present.guaranteed], [100 * present.detected], "o", color=RED, label="present limit")
        sure = f"{thresholds.guarantee.confidence:.0%}"
        axes.set(
            xlabel=f"good parts rejected at most, % (at {sure} confidence)",
            ylabel="known rejects detected, %",
            ylim=(-3, 103),
        )
        axes.legend()
        return _chart(figure)


def _chart(figure: Figure) -> Chart:
    return Chart(svg(figure), png(figure))
