"""A part's picture for people: the part with its regions, the anomaly map over it, and the template beside them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from appliance.messages import Verdict
from engines.drawing import overlay, rgb
from engines.geometry import Box, Pixels

MARK = (255, 210, 0)  # RGB of boxes and text


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
