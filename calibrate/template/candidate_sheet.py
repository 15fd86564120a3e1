"""The contact sheet of template candidates, with their figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from calibrate.pages.charts import png
from calibrate.template.choice import Candidate, TemplateChoice
from engines.pictures.geometry import Pixels

COLUMNS, LONGEST = 3, 34  # candidates in a row; letters of a name
INK, QUIET, MARK, BAR, TRACK, WARN = "#1b1f24", "#5b6570", "#0b7a3b", "#1f6fb2", "#dfe5ea", "#b5541c"


def contact_sheet(choice: TemplateChoice, pictures: Sequence[Pixels]) -> bytes:
    """A PNG of the candidates; ``pictures`` in their order."""
    columns = min(COLUMNS, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    shape = pictures[0].shape[0] / pictures[0].shape[1]
    width = 12.0
    side = (width - 1.0) / COLUMNS - 0.4
    cell = side * min(shape, 1.6) + 1.55
    figure = Figure(figsize=(width, 1.5 + rows * cell), facecolor="white")
    height = figure.get_figheight()
    figure.text(
        0.03,
        1 - 0.42 / height,
        "Which golden sample is the template",
        fontsize=20,
        fontweight="bold",
        color=INK,
        va="center",
    )
    told, colour = verdict(choice)
    figure.text(0.03, 1 - 0.82 / height, told, fontsize=11.5, color=colour, va="center")
    figure.text(
        0.03, 1 - 1.12 / height,
        f"Recipe {choice.recipe} ({choice.recipe_digest[:12]}); score {choice.score} on {choice.samples} fitted golden "
        f"samples and {choice.defects} drawn defects, with the weights as they are",
        fontsize=9.5, color=QUIET, va="center",
    )  # fmt: skip
    for i, (candidate, picture) in enumerate(zip(choice.candidates, pictures, strict=True)):
        left = 0.03 + (i % columns) * (side + 0.4) / width
        top = 1 - (1.5 + (i // columns) * cell) / height
        picture_height = side * min(shape, 1.6) / height
        axis = figure.add_axes((left, top - picture_height, side / width, picture_height))
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axis.set_xticks([])
        axis.set_yticks([])
        best = candidate.name == choice.best
        for spine in axis.spines.values():
            spine.set_color(MARK if best else TRACK)
            spine.set_linewidth(5 if best else 1)
        bar = figure.add_axes((left, top - picture_height - 1.2 / height, side / width, 1.12 / height))
        bar.set_axis_off()
        bar.set_xlim(0, 1)
        bar.set_ylim(0, 1)
        share = candidate.detected / choice.defects
        bar.text(0, 0.83, shortened(candidate.name), fontsize=12, fontweight="bold", color=MARK if best else INK, va="center")
        bar.barh(0.55, 1, 0.13, color=TRACK)
        bar.barh(0.55, share, 0.13, color=BAR)
        bar.text(0, 0.31, figures(choice, candidate), fontsize=10, color=INK, va="center")
        bar.text(0, 0.08, against(choice, candidate), fontsize=9.5, color=QUIET, va="center")
    return png(figure, dpi=110)


def figures(choice: TemplateChoice, candidate: Candidate) -> str:
    """A candidate's figures in words."""
    return f"{candidate.detected} of {choice.defects} defects detected, spread {candidate.spread:.3f}"


def against(choice: TemplateChoice, candidate: Candidate) -> str:
    """Why it is a candidate, and how it compares with the pinned template."""
    if candidate.name == choice.pinned:
        return ", ".join(candidate.roles)
    return f"{', '.join(candidate.roles)}; against the pinned one {candidate.gained} gained, {candidate.lost} lost"


def shortened(name: str) -> str:
    """A name that fits under a picture."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2]}...{name[-LONGEST // 2 + 3 :]}"


def verdict(choice: TemplateChoice) -> tuple[str, str]:
    """What follows, and its colour."""
    if choice.aging is not None and choice.aging.aged:
        return aged_text(choice), WARN
    if choice.best == choice.pinned:
        return f"Keep {choice.pinned}: no other candidate detects clearly more", INK
    return f"{choice.best} detects clearly more than the pinned {choice.pinned}", MARK


def aged_text(choice: TemplateChoice) -> str:
    """The warning that the pinned template has aged."""
    aging = choice.aging
    assert aging is not None
    return (
        f"The template has aged: recent passes are nearer to {aging.nearest_name} than to {choice.pinned} "
        f"(distance {aging.nearest:.3g} against {aging.pinned:.3g})"
    )
