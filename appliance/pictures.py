"""Pictures of rejects, for people: the part with its regions, the anomaly map over it, and the template beside them.

Written by a thread of its own behind a short queue; when the disk is too slow, pictures are left out and counted, never
waited for.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from appliance.messages import Verdict
from engines.geometry import Geometry, Pixels
from engines.templates import Templates

WAITING = 8  # pictures queued at most: each holds a copy of a frame
MARK = (255, 210, 0)  # RGB of boxes and text


class _Offer(NamedTuple):
    verdict: Verdict
    image: Pixels
    frame_map: npt.NDArray[np.float32] | None
    geometry: Geometry
    templates: Templates


class PictureWriter:
    """Keeps the newest pictures of a line's rejects in a folder."""

    def __init__(self, folder: Path, keep: int, warn: Callable[[str], None]) -> None:
        """``warn`` is told, once for each text, why pictures are missing; from the writer's thread."""
        self._folder, self._keep, self._warn = folder, keep, warn
        self._warned: set[str] = set()
        self.left_out = 0
        self._queue: queue.Queue[_Offer | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)
        self._thread.start()

    def offer(
        self,
        verdict: Verdict,
        image: Pixels,
        frame_map: npt.NDArray[np.float32] | None,
        geometry: Geometry,
        templates: Templates,
    ) -> None:
        """Have a picture written, if there is room for it; copies image and map."""
        if self._queue.full():
            self.left_out += 1
            return
        self._queue.put_nowait(
            _Offer(verdict, image.copy(), None if frame_map is None else frame_map.copy(), geometry, templates)
        )

    def close(self) -> None:
        """Write what is queued, and end; may be called again."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (offer := self._queue.get()) is not None:
            verdict = offer.verdict
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                name = f"{verdict.line}-{verdict.epoch}-{verdict.seq:08d}-{verdict.reason}.png"
                template = offer.templates.picture(verdict.template.index) if verdict.template else None
                picture = draw_reject(verdict, offer.image, offer.frame_map, offer.geometry, template)
                if not cv2.imwrite(str(self._folder / name), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
                    raise OSError(f"{self._folder / name}: cannot be written")
                self._prune(verdict.line)
            except Exception as error:  # noqa: BLE001 - told by `warn`; a picture must never end the line, nor this thread
                self.left_out += 1
                if str(error) not in self._warned:
                    self._warned.add(str(error))
                    self._warn(f"pictures of rejects are not written: {error}")

    def _prune(self, line: str) -> None:
        """Remove this line's oldest pictures; other files are not ours."""
        for old in sorted(self._folder.glob(f"{line}-*-*-*.png"), key=lambda file: file.stat().st_mtime_ns)[: -self._keep]:
            old.unlink(missing_ok=True)


def draw_reject(
    verdict: Verdict,
    image: Pixels,
    frame_map: npt.NDArray[np.float32] | None,
    geometry: Geometry,
    template: Pixels | None = None,
) -> Pixels:
    """The part with its regions, the map over the part, and the template, with a line of text on top; (H, W, 3) RGB."""
    part = _rgb(image)
    thick = max(1, min(part.shape[:2]) // 200)
    panels = [part] if frame_map is None else [part, overlay(part, frame_map, verdict, geometry)]
    for panel in panels:
        for region in verdict.regions:
            cv2.rectangle(panel, (region.x, region.y), (region.x + region.w, region.y + region.h), MARK, thick)
    if template is not None:  # a bank's pictures are small
        panels.append(np.asarray(cv2.resize(_rgb(template), part.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8))
    picture = np.concatenate(panels, axis=1)
    scale = picture.shape[1] / 1000
    header = np.zeros((int(40 * scale) + 8, picture.shape[1], 3), np.uint8)
    score = "-" if verdict.score is None else f"{verdict.score:.4g}"
    limit = "-" if verdict.threshold is None else f"{verdict.threshold:.4g}"
    what = f"line {verdict.line}  part {verdict.part_id}  {verdict.verdict}: {verdict.reason}"
    text = f"{what}  score {score} / {limit}  {verdict.captured[:19]}Z"
    if verdict.template is not None:
        text += f"  template {verdict.template.name} ({verdict.template.similarity:.3f})"
    font, thickness, left = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(1.5 * scale)), int(10 * scale) + 2
    (width, _), _ = cv2.getTextSize(text, font, 0.75 * scale, thickness)
    size = 0.75 * scale * min(1.0, (picture.shape[1] - 4 * left) / width)  # as large as the picture is wide
    cv2.putText(header, text, (left, int(28 * scale) + 2), font, size, MARK, thickness, cv2.LINE_AA)
    return np.concatenate([header, picture])


def _rgb(image: Pixels) -> Pixels:
    """A copy of a picture, grey or colour, in colour."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image.copy(), np.uint8)


def overlay(part: Pixels, frame_map: npt.NDArray[np.float32], verdict: Verdict, geometry: Geometry) -> Pixels:
    """The map in colours over the inspected region, scaled to its own maximum: it shows where, the score says how much."""
    x, y, width, height = geometry.region
    top = max([region.peak for region in verdict.regions] + [float(np.nanmax(frame_map)), 1e-12])
    level = np.clip(np.nan_to_num(frame_map) / top, 0, 1)
    level = np.asarray(cv2.resize(level.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))
    colours = cv2.cvtColor(cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    alpha = np.clip(level * 1.5, 0, 0.75)[..., None]  # what is normal stays visible
    result = part.copy()
    inside = result[y : y + height, x : x + width]
    inside[:] = (inside * (1 - alpha) + colours * alpha).astype(np.uint8)
    return result
