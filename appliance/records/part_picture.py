"""A part's picture from the archive, drawn for people; or why there is none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from appliance.config.records import ArchiveConfig
from appliance.messages.schema import Verdict
from appliance.records.archive import sampled
from appliance.records.archive_files import entry, read_map
from appliance.records.journal import Query, search
from engines.common.errors import ConfigError
from engines.pictures.geometry import Box, Pixels
from engines.pictures.images import read_image
from engines.pictures.overlay import overlay, rgb
from engines.recipe.bundle import MANIFEST, load_recipe
from engines.recipe.templates import read_templates

MARK = (255, 210, 0)  # RGB of boxes and text


def part_picture(
    line: str, archive: ArchiveConfig, journal: Path, recipe: Path, part: int, epoch: int | None
) -> tuple[Verdict, Pixels]:
    """The newest verdict of a line's part (of one epoch), and its picture (H, W, 3) RGB; ``recipe`` is the line's present one.

    Raises UserError kinds: no journal, no such part, or why it has no picture.
    """
    verdict = next(search(journal, Query(part=part, epoch=epoch), limit=1), None)
    if verdict is None:
        of = f" of epoch {epoch}" if epoch is not None else ""
        raise ConfigError(f"part {part}{of}: not in {journal}; see which parts are: inspect history --line {line}")
    stem = entry(archive.folder, verdict)
    frame = stem.with_name(f"{stem.name}.png")
    if not frame.exists():
        raise ConfigError(f"part {part}: {verdict.verdict}, no picture: {_why_none(verdict, frame, archive)}")
    return verdict, draw_part(verdict, read_image(frame), read_map(stem), _template(recipe, verdict))


def _why_none(verdict: Verdict, frame: Path, config: ArchiveConfig) -> str:
    if verdict.reason == "no-image":
        return verdict.detail or "the camera gave none"
    if verdict.verdict == "pass" and not sampled(verdict.epoch, verdict.seq, config.passes):
        return f"archive.passes = {config.passes:g} of passes are kept, and this one is not among them; raise it to keep more"
    return (
        f"{frame} is not there: removed since by the quota (archive.quota_gb = {config.quota_gb:g}), or left out when the "
        f"disk was slow or less than archive.free_gb = {config.free_gb:g} was free on it, which an alarm has told"
    )


def _template(present: Path, verdict: Verdict) -> Pixels | None:
    """The template that a part was compared with; None when its recipe is neither the line's nor beside it any more."""
    if verdict.template is None:
        return None
    for manifest in (present / MANIFEST, *sorted(present.parent.glob(f"*/{MANIFEST}"))):
        if manifest.is_file() and hashlib.sha256(manifest.read_bytes()).hexdigest() == verdict.recipe:
            return read_templates(load_recipe(manifest.parent), features=False).picture(verdict.template.index)
    return None


def draw_part(
    verdict: Verdict, image: Pixels, measured: tuple[npt.NDArray[np.float32], Box] | None, template: Pixels | None = None
) -> Pixels:
    """The part with its regions, the map over the part, and the template, with a line of text on top; (H, W, 3) RGB.

    ``measured`` is the map and the region of the frame that it covers.
    """
    part = rgb(image)
    thick = max(1, min(part.shape[:2]) // 200)
    panels = [part] if measured is None else [part, overlay(part, *measured, _top(measured[0], verdict))]
    for panel in panels:
        for box in verdict.regions:
            cv2.rectangle(panel, (box.x, box.y), (box.x + box.w, box.y + box.h), MARK, thick)
    if template is not None:  # a bank's pictures are small
        panels.append(np.asarray(cv2.resize(rgb(template), part.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8))
    picture = np.concatenate(panels, axis=1)
    scale = picture.shape[1] / 1000
    header = np.zeros((int(40 * scale) + 8, picture.shape[1], 3), np.uint8)
    score = "-" if verdict.score is None else f"{verdict.score:.4g}"
    limit = "-" if verdict.threshold is None else f"{verdict.threshold:.4g}"
    reason = f": {verdict.reason}" if verdict.reason else ""
    what = f"line {verdict.line}  part {verdict.part_id}  {verdict.verdict}{reason}"
    text = f"{what}  score {score} / {limit}  {verdict.captured[:19]}Z"
    if verdict.template is not None:
        text += f"  template {verdict.template.name} ({verdict.template.similarity:.3f})"
    font, thickness, left = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(1.5 * scale)), int(10 * scale) + 2
    (width, _), _ = cv2.getTextSize(text, font, 0.75 * scale, thickness)
    size = 0.75 * scale * min(1.0, (picture.shape[1] - 4 * left) / width)  # as large as the picture is wide
    cv2.putText(header, text, (left, int(28 * scale) + 2), font, size, MARK, thickness, cv2.LINE_AA)
    return np.concatenate([header, picture])


def _top(frame_map: npt.NDArray[np.float32], verdict: Verdict) -> float:
    """The map's own maximum: its colours show where, the score says how much."""
    return max([found.peak for found in verdict.regions] + [float(np.nanmax(frame_map))])
