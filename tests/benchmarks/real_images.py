"""Quality on real product images: fit and calibrate on train/good, then a replay line over test/.

    python -m tests.benchmarks.real_images mvtec_bottle [--network thfr] [--steps N] [--recipe DIR]

The folder of image sets lies beside the project (shared/data). Image AUROC is of the scores in the published verdicts;
pixel AUROC is of the engine's maps, at the pictures' own resolution.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from appliance.config import load_line
from appliance.messages import Verdict
from appliance.running import RunningLine
from calibrate.making import FitRequest, make_recipe
from calibrate.scoring import calibrate_thresholds
from engines.images import read_image
from engines.model_config import PROFILES
from engines.recipe import Recipe, load_recipe
from engines.targets import load_reference, run_once
from tests.conftest import SHARED_DATA
from tests.virtual_line.demo import free_ports

LINE_FILE = """\
recipe = "{recipe}"
[camera]
kind = "replay"
source = "{source}"
rate = 0
resize = true
[decision]
deadline_ms = 60000
[publish]
verdicts = "tcp://127.0.0.1:{ports[0]}"
snapshot = "tcp://127.0.0.1:{ports[1]}"
"""


@dataclass(frozen=True)
class Quality:
    """What a recipe makes of a set of images."""

    score: str
    image_auroc: float
    pixel_auroc: float | None  # None where the set has no masks
    good_rejected: float  # shares
    defects_passed: float
    fit_seconds: float


def measure(images: Path, recipe_folder: Path, network: str, steps: int | None) -> Quality:
    """Fit (unless the recipe exists), calibrate, replay, and compare with the truth."""
    golden = images / "train" / "good"
    begun = time.monotonic()
    if not recipe_folder.exists():
        make_recipe(FitRequest(golden, recipe_folder, network, steps=steps), print, lambda _: None)
    fit_seconds = time.monotonic() - begun
    recipe = load_recipe(recipe_folder)
    thresholds = calibrate_thresholds(recipe, golden, None, None, 0.01, 12, lambda _done, _total: None)
    verdicts = replay(recipe, images / "test")
    defect = np.array([not str(verdict.source).startswith("good/") for verdict in verdicts])
    scores = np.array([np.nan if verdict.score is None else verdict.score for verdict in verdicts])
    rejected = np.array([verdict.verdict == "reject" for verdict in verdicts])
    return Quality(
        thresholds.score,
        float(roc_auc_score(defect, scores)),
        pixel_auroc(recipe, images),
        float(rejected[~defect].mean()),
        float((~rejected[defect]).mean()),
        fit_seconds,
    )


def replay(recipe: Recipe, source: Path) -> list[Verdict]:
    """The verdicts of a replay line over a folder."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "3.toml").write_text(
            LINE_FILE.format(recipe=recipe.folder.resolve(), source=source.resolve(), ports=free_ports(2))
        )
        running = RunningLine(load_line("3", Path(folder)))
        try:
            running.start()
            while running.running:
                time.sleep(0.1)
        finally:
            running.close()
    return [event for event in running.events if isinstance(event, Verdict)]


def pixel_auroc(recipe: Recipe, images: Path) -> float | None:
    """AUROC over all pixels of test pictures whose truth is known; None when no mask is there."""
    geometry, slot = recipe.manifest.geometry, load_reference(recipe).new_slot()
    truths: list[npt.NDArray[np.bool_]] = []
    maps: list[npt.NDArray[np.float32]] = []
    for file in sorted((images / "test").glob("*/*")):
        mask_file = images / "ground_truth" / file.parent.name / f"{file.stem}_mask.png"
        image = read_image(file)
        if file.parent.name == "good":
            truth = np.zeros(image.shape[:2], bool)
        elif mask_file.exists():
            truth = read_image(mask_file) > 127
        else:
            continue
        frame = np.asarray(cv2.resize(image, geometry.frame, interpolation=cv2.INTER_AREA), np.uint8)
        run_once(slot, frame, geometry)
        truths.append(truth.ravel())
        maps.append(
            np.asarray(cv2.resize(slot.frame_map, truth.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32).ravel()
        )
    every = np.concatenate(truths)
    return float(roc_auc_score(every, np.concatenate(maps))) if every.any() else None


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", help="folders of shared/data")
    parser.add_argument("--network", default="tfa-net", choices=PROFILES)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--recipe", type=Path, default=None, help="keep the recipe here, or take one that is there")
    arguments = parser.parse_args()
    for name in arguments.sets:
        with tempfile.TemporaryDirectory() as folder:
            quality = measure(SHARED_DATA / name, arguments.recipe or Path(folder) / name, arguments.network, arguments.steps)
        pixel = "no masks" if quality.pixel_auroc is None else f"{quality.pixel_auroc:.4f}"
        print(
            f"{name}: image AUROC {quality.image_auroc:.4f} ({quality.score}), pixel AUROC {pixel}, good parts rejected "
            f"{quality.good_rejected:.1%}, defects passed {quality.defects_passed:.1%}, fit {quality.fit_seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
