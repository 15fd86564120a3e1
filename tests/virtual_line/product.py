"""A rendered product: a sensor module on a brushed plate, with print, screws, a connector and a cap.

Good parts differ as real ones do: screw heads turn, the part lies a little shifted and rotated, light is uneven, the sensor has
noise.  Defects are drawn into the part before it is posed and lit, so that they look like part of it.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

SIDE = 512  # pixels of a picture
DRAWN = 1024  # pixels that the part is drawn at before it is reduced
DEFECTS = ("scratch", "stain", "missing piece", "misplaced piece", "crack")
SCREWS = ((190, 190), (834, 190), (190, 834), (834, 834))
CAP = (640, 620)


@dataclass(frozen=True)
class Part:
    """A picture, what is wrong with the part in it, and where ((H, W) bool)."""

    image: Image
    defect: str | None
    mask: npt.NDArray[np.bool_]


def render(seed: int, defect: str | None = None) -> Part:
    """One part; the same seed gives the same picture, with the defect or without it."""
    drawn = _draw(seed, defect)
    clean = _draw(seed, None) if defect else drawn
    mask = posed(np.abs(drawn - clean).max(axis=2), _pose(seed)) > 8
    return Part(_picture(drawn, seed), defect, mask)


def save_parts(folder: Path, seeds: range, defects: list[str | None]) -> None:
    """Write one PNG a seed, named in playing order, with the defects in turn; drawn side by side."""
    folder.mkdir(parents=True, exist_ok=True)

    def save(i: int, seed: int) -> None:
        picture = _picture(_draw(seed, defects[i % len(defects)]), seed)
        cv2.imwrite(str(folder / f"{i:03d}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(save, range(len(seeds)), seeds))


def _picture(drawn: Floats, seed: int) -> Image:
    return photograph(posed(drawn, _pose(seed)), np.random.default_rng((seed, 3)))


def _pose(seed: int) -> Floats:
    return random_pose(np.random.default_rng((seed, 2)))


def _draw(seed: int, defect: str | None) -> Floats:
    """The part as designed, (DRAWN, DRAWN, 3) float32, 0 to 255; one generator for the part, one for its defect."""
    rng, flaw = np.random.default_rng((seed, 0)), np.random.default_rng((seed, 1))
    ground = np.full((DRAWN, DRAWN, 3), (46, 48, 50), np.float32)
    ground += cv2.GaussianBlur(rng.normal(0, 22, (DRAWN, DRAWN, 1)).astype(np.float32), (0, 0), 2.0)[..., None]
    plate = np.zeros((DRAWN, DRAWN), np.float32)
    cv2.rectangle(plate, (120, 120), (904, 904), 1.0, -1)
    plate = cv2.GaussianBlur(plate, (0, 0), 6)
    plate = np.clip((plate - 0.4) * 5, 0, 1)[..., None]
    brushed = cv2.GaussianBlur(rng.normal(0, 40, (DRAWN, DRAWN)).astype(np.float32), (0, 0), sigmaX=14, sigmaY=0.8)[..., None]
    ground = ground * (1 - plate) + plate * (np.array([132, 140, 150], np.float32) + brushed)
    canvas = np.clip(ground, 0, 255).astype(np.uint8)
    missing = int(flaw.integers(5)) if defect == "missing piece" else None  # 0 to 3: a screw, 4: the cap
    for i, (x, y) in enumerate(SCREWS):
        cv2.circle(canvas, (x, y), 36, (58, 60, 64), -1, cv2.LINE_AA)
        if i != missing:
            _screw(canvas, x, y, rng.uniform(0, np.pi))
        else:
            rng.uniform(0, np.pi)
    _connector(canvas)
    _label(canvas)
    cap_x, cap_y = CAP
    if defect == "misplaced piece":
        angle = flaw.uniform(0, 2 * np.pi)
        cap_x, cap_y = int(cap_x + 46 * np.cos(angle)), int(cap_y + 46 * np.sin(angle))
    cv2.circle(canvas, CAP, 92, (70, 74, 80), 3, cv2.LINE_AA)
    if missing != 4:
        _cap(canvas, cap_x, cap_y)
    if defect in ("scratch", "stain", "crack"):
        {"scratch": _scratch, "stain": _stain, "crack": _crack}[defect](canvas, flaw)
    return canvas.astype(np.float32)


def _screw(canvas: Image, x: int, y: int, turn: float) -> None:
    cv2.circle(canvas, (x, y), 28, (178, 178, 172), -1, cv2.LINE_AA)
    cv2.circle(canvas, (x, y), 28, (110, 110, 106), 3, cv2.LINE_AA)
    for angle in (turn, turn + np.pi / 2):
        dx, dy = int(18 * np.cos(angle)), int(18 * np.sin(angle))
        cv2.line(canvas, (x - dx, y - dy), (x + dx, y + dy), (52, 52, 52), 7, cv2.LINE_AA)


def _connector(canvas: Image) -> None:
    cv2.rectangle(canvas, (280, 470), (440, 800), (28, 28, 32), -1, cv2.LINE_AA)
    cv2.rectangle(canvas, (280, 470), (440, 800), (66, 66, 72), 4, cv2.LINE_AA)
    for row in range(8):
        for column in range(2):
            x, y = 320 + column * 60, 500 + row * 36
            cv2.rectangle(canvas, (x, y), (x + 22, y + 16), (214, 176, 74), -1, cv2.LINE_AA)


def _label(canvas: Image) -> None:
    cv2.rectangle(canvas, (290, 230), (740, 390), (226, 224, 214), -1, cv2.LINE_AA)
    cv2.putText(canvas, "TFA 24V", (310, 296), cv2.FONT_HERSHEY_DUPLEX, 1.7, (30, 30, 36), 4, cv2.LINE_AA)
    cv2.putText(canvas, "S/N 0815-4711", (310, 358), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (30, 30, 36), 3, cv2.LINE_AA)
    x = 600
    for width in (4, 8, 3, 10, 5, 4, 9, 3, 6, 8, 4, 5):
        cv2.rectangle(canvas, (x, 250), (x + width, 320), (30, 30, 36), -1)
        x += width + 5


def _cap(canvas: Image, x: int, y: int) -> None:
    cv2.circle(canvas, (x, y), 84, (206, 96, 44), -1, cv2.LINE_AA)
    cv2.circle(canvas, (x, y), 84, (140, 60, 26), 5, cv2.LINE_AA)
    cv2.circle(canvas, (x, y), 50, (226, 122, 66), -1, cv2.LINE_AA)
    cv2.putText(canvas, "A", (x - 22, y + 24), cv2.FONT_HERSHEY_DUPLEX, 2.0, (90, 36, 14), 5, cv2.LINE_AA)


def _place(flaw: np.random.Generator) -> tuple[int, int]:
    return int(flaw.uniform(240, 784)), int(flaw.uniform(240, 784))


def _scratch(canvas: Image, flaw: np.random.Generator) -> None:
    x, y = _place(flaw)
    angle, length = flaw.uniform(0, np.pi), flaw.uniform(90, 200)
    bend = flaw.uniform(-20, 20)
    steps = np.linspace(-0.5, 0.5, 24)
    points = np.stack(
        [
            x + length * steps * np.cos(angle) - bend * (1 - 4 * steps**2) * np.sin(angle),
            y + length * steps * np.sin(angle) + bend * (1 - 4 * steps**2) * np.cos(angle),
        ],
        axis=1,
    )
    cv2.polylines(canvas, [points.astype(np.int32)], False, (236, 238, 240), 4, cv2.LINE_AA)
    cv2.polylines(canvas, [(points + 3).astype(np.int32)], False, (60, 62, 66), 2, cv2.LINE_AA)


def _stain(canvas: Image, flaw: np.random.Generator) -> None:
    x, y = _place(flaw)
    spot = np.zeros((DRAWN, DRAWN), np.float32)
    for _ in range(5):
        centre = (int(x + flaw.normal(0, 22)), int(y + flaw.normal(0, 22)))
        cv2.circle(spot, centre, int(flaw.uniform(12, 30)), 1.0, -1, cv2.LINE_AA)
    alpha = (cv2.GaussianBlur(spot, (0, 0), 7) * 0.6)[..., None]
    canvas[:] = (canvas * (1 - alpha) + alpha * np.array([74, 54, 30], np.float32)).astype(np.uint8)


def _crack(canvas: Image, flaw: np.random.Generator) -> None:
    x, y = _place(flaw)
    angle = flaw.uniform(0, 2 * np.pi)
    for _ in range(12):
        turn = angle + flaw.normal(0, 0.7)
        end = (int(x + 17 * np.cos(turn)), int(y + 17 * np.sin(turn)))
        cv2.line(canvas, (x, y), end, (16, 16, 18), int(flaw.integers(3, 6)), cv2.LINE_AA)
        x, y = end


def random_pose(rng: np.random.Generator) -> Floats:
    """Affine map from the drawing to the picture: half size, up to 3 pixels of shift and 1 degree of rotation."""
    scale = SIDE / DRAWN
    matrix = cv2.getRotationMatrix2D((DRAWN / 2, DRAWN / 2), float(rng.uniform(-1, 1)), scale)
    matrix[:, 2] += (SIDE - DRAWN) / 2 + rng.uniform(-3, 3, 2)
    return matrix.astype(np.float32)


def posed(drawn: Floats, pose: Floats) -> Floats:
    smooth = cv2.GaussianBlur(drawn, (0, 0), 0.9)  # what reducing to half the size must not alias
    return np.asarray(
        cv2.warpAffine(smooth, pose, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.float32
    )


def photograph(scene: Floats, rng: np.random.Generator) -> Image:
    """Uneven light from one side, vignetting, and a sensor's shot and read noise."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE - 0.5
    angle, strength = rng.uniform(-0.4, 0.4), rng.uniform(0.16, 0.24)
    light = 1 + strength * (x * np.cos(angle) + y * np.sin(angle)) - 0.35 * (x**2 + y**2)
    exposed = scene * light[..., None] * rng.uniform(0.97, 1.03)
    noise = rng.normal(0, 1, scene.shape) * np.sqrt(0.06 * np.clip(exposed, 0, None) + 2.0)
    return np.clip(exposed + noise, 0, 255).astype(np.uint8)
