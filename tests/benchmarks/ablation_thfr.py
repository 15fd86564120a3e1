"""THFR with its parts switched off, and with banks of other sizes: the tables 4, 5 and 6 of its paper.

    python -m tests.benchmarks.ablation_thfr [DATA] [--steps N] [--golden N] [--keep DIR]

DATA is a folder laid out as MVTec AD's sets (train/good, test/<kind>, ground_truth/<kind>); without it a kit of ten pieces is
rendered, with logical defects and local ones.  Every variant is fitted with the same seed and steps.  Image AUROC is of the
paper's score, the map's maximum, on the engine openvino float32.  Times are measured in turns; memory is that of a process with
this engine alone.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import msgspec
import numpy as np

from calibrate.evaluation.datasets import find_categories, read_masks
from calibrate.evaluation.measures import PixelMeasures, auroc
from calibrate.fit.bank_change import remake_bank
from calibrate.fit.fit_request import FitRequest
from calibrate.fit.recipe_fit import make_recipe
from calibrate.thresholds.calibration import ThresholdsRequest, calibrate_thresholds
from engines.pictures.images import read_image
from engines.pictures.scores import SCORES
from engines.proof.admission import load_engine
from engines.proof.build import build_engine
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.golden_samples import resize
from engines.recipe.model_config import PROFILES, BankRatio, ModelConfig, THFRConfig
from engines.targets import run_once
from tests.virtual_line.layout_product import LOGICAL, save_kits

TARGET, PRECISION = "openvino", "float32"
SCORE = SCORES.index("max")
ROUNDS, FRAMES = 20, 10
SWITCHES = ("global_bottleneck", "local_bottleneck", "template", "relation")
VARIANTS: Mapping[str, tuple[bool, bool, bool, bool]] = {
    "global bottleneck": (True, False, False, False),
    "local bottleneck": (False, True, False, False),
    "both bottlenecks": (True, True, False, False),
    "+ template": (True, True, True, False),
    "+ relation": (True, True, False, True),
    "+ template and relation": (True, True, True, True),
    "local bottleneck + template and relation": (False, True, True, True),
}
TABLES = {
    "bottlenecks (table 4)": (
        "global bottleneck",
        "local bottleneck",
        "both bottlenecks",
        "local bottleneck + template and relation",
    ),
    "template and relation (table 5)": ("both bottlenecks", "+ template", "+ relation", "+ template and relation"),
    "bank (table 6)": ("bank 10 %", "bank 25 %", "bank 50 %", "bank 100 %"),
}
WHOLE = "+ template and relation"
RATIOS: tuple[BankRatio, ...] = (10, 25, 50, 100)


@dataclass(frozen=True)
class Row:
    """What one variant makes of the test pictures."""

    image_auroc: float | None
    logical: float | None
    local: float | None
    pixel_auroc: float | None
    aupro: float | None
    memory_mb: float
    bank_mb: float


def fit(data: Path, folder: Path, switches: tuple[bool, ...], steps: int | None) -> Recipe:
    """One variant, fitted."""
    config = PROFILES["thfr"]["small"]
    assert isinstance(config, THFRConfig)
    config = msgspec.structs.replace(config, **dict(zip(SWITCHES, switches, strict=True)))
    profiles: Mapping[str, Mapping[str, ModelConfig]] = {"thfr": {"small": config}}
    with patch("calibrate.fit.recipe_fit.PROFILES", profiles):
        return make_recipe(FitRequest(data / "train" / "good", folder, "thfr", steps=steps), lambda _: None, lambda _: None)


def rebanked(data: Path, recipe: Recipe, folder: Path, ratio: BankRatio) -> Recipe:
    """A copy of a recipe with another bank."""
    shutil.copytree(recipe.folder, folder)
    return remake_bank(load_recipe(folder), data / "train" / "good", ratio)


def prepare(data: Path, recipe: Recipe) -> None:
    """Thresholds and the engine."""
    golden = data / "train" / "good"
    asked = ThresholdsRequest(recipe=recipe, golden=golden, target="torch", precision="float32", max_false_reject=0.01)
    calibrate_thresholds(asked, lambda _: None, lambda _done, _total: None)
    record = build_engine(recipe, TARGET, PRECISION, golden, None, lambda _: None, lambda _done, _total: None)
    assert record.parity is not None
    assert record.parity.passed


def examine(data: Path, recipe: Recipe) -> Row:
    """Run the engine over the test pictures."""
    engine, geometry = load_engine(recipe, TARGET, PRECISION), recipe.manifest.geometry
    slot = engine.new_slot()
    kinds, scores, pixels = [], [], PixelMeasures()
    (category,) = find_categories(data)
    for picture in category.test:
        image = read_image(picture.file)
        run_once(slot, resize(image, *geometry.frame), geometry)
        kinds.append(picture.kind)
        scores.append(float(slot.scores[SCORE]))
        if picture.marked:
            pixels.take(slot.frame_map, read_masks(category, picture, *slot.frame_map.shape))
    engine.close()
    names, values = np.array(kinds), np.array(scores)
    defect = names != "good"
    logical = np.isin(names, LOGICAL)

    def among(chosen: np.ndarray) -> float | None:
        part = chosen | ~defect
        return auroc(defect[part], values[part])

    bank = (recipe.folder / recipe.manifest.model.templates_file).stat().st_size / 1e6
    return Row(
        auroc(defect, values),
        among(logical),
        among(defect & ~logical) if logical.any() else None,
        pixels.auroc(),
        pixels.aupro(0.3),
        memory_mb(recipe),
        bank,
    )


def memory_mb(recipe: Recipe) -> float:
    """Peak of a process with this engine alone; multiprocessing would import this module, and torch with it."""
    program = (
        "from pathlib import Path\nfrom engines.proof.bench import measure\n"
        f"print(measure(Path({str(recipe.folder)!r}), {TARGET!r}, {PRECISION!r}, 1, 1, 20)[-1])\n"
    )
    return float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


def times(recipes: dict[str, Recipe]) -> dict[str, float]:
    """Median milliseconds of a frame, the engines taking turns."""
    engines = {name: load_engine(recipe, TARGET, PRECISION) for name, recipe in recipes.items()}
    slots = {name: engine.new_slot() for name, engine in engines.items()}
    taken: dict[str, list[float]] = {name: [] for name in slots}
    for round_ in range(ROUNDS):
        for name, slot in slots.items():
            begun = time.perf_counter()
            for _ in range(FRAMES):
                slot.start()
                slot.finish()
            if round_:
                taken[name].append((time.perf_counter() - begun) / FRAMES * 1e3)
    for engine in engines.values():
        engine.close()
    return {name: float(np.median(values)) for name, values in taken.items()}


def show(title: str, names: tuple[str, ...], rows: dict[str, Row], frame_ms: dict[str, float]) -> None:
    """One table, in the form of the README's."""
    print(f"\n| {title} | image AUROC | logical | local | pixel AUROC | AUPRO | a frame | memory | bank |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names:
        row = rows[name]
        measured = (row.image_auroc, row.logical, row.local, row.pixel_auroc, row.aupro)
        cells = " | ".join("-" if one is None else f"{one:.4f}" for one in measured)
        print(f"| {name} | {cells} | {frame_ms[name]:.1f} ms | {row.memory_mb:.0f} MB | {row.bank_mb:.1f} MB |")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, help="folder of pictures; without it a kit is rendered")
    parser.add_argument("--steps", type=int, default=None, help="of each fit; default: the profile's")
    parser.add_argument("--golden", type=int, default=120, help="golden samples of the rendered kit")
    parser.add_argument("--keep", type=Path, default=None, help="folder to keep pictures and recipes in; goes on there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = arguments.keep or Path(temporary)
        data = arguments.data or folder / "kits"
        if not data.exists():
            save_kits(data, arguments.golden, good=60, each=20)
        rows: dict[str, Row] = {}
        recipes: dict[str, Recipe] = {}
        for name, switches in VARIANTS.items():
            made = folder / name.replace(" ", "-").replace(",", "")
            recipes[name] = load_recipe(made) if made.exists() else fit(data, made, switches, arguments.steps)
        for ratio in RATIOS:
            made = folder / f"bank-{ratio}"
            recipes[f"bank {ratio} %"] = load_recipe(made) if made.exists() else rebanked(data, recipes[WHOLE], made, ratio)
        for name, recipe in recipes.items():
            prepare(data, recipe)
            rows[name] = examine(data, recipe)
            print(f"{name}: {rows[name]} ({len(recipe.manifest.templates)} templates)", flush=True)
        frame_ms = times(recipes)
        for title, names in TABLES.items():
            show(title, names, rows, frame_ms)


if __name__ == "__main__":
    main()
