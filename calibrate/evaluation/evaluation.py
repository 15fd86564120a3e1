"""Evaluation on labelled sets: for each category a fit, calibrated thresholds, and every test picture through the engine.

All categories are treated alike, and no test picture takes part in any choice.  What is finished is kept in the output folder:

    NAME/golden/       links to the training pictures: the golden samples
    NAME/recipe/       the recipe, with thresholds from those of the golden samples that the fit kept back
    NAME/worst.png     a contact sheet of the worst misses and false rejects
    NAME/fit.json, NAME/result.json    see calibrate/finished.py
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from calibrate.evaluation.category_result import Judged, Result, summarise
from calibrate.evaluation.datasets import Category, find_categories, read_masks
from calibrate.evaluation.kept_results import EvaluateRequest, Finished, Fitted, identities, read_kept, relative, write_kept
from calibrate.evaluation.measures import PixelMeasures
from calibrate.evaluation.worst_sheet import worst_sheet
from calibrate.fit.fit_request import FitRequest, config_of, has_memory
from calibrate.fit.recipe_fit import RecipeFit
from calibrate.fit.training import Progress
from calibrate.thresholds.calibration import ThresholdsRequest, calibrate_thresholds
from calibrate.thresholds.scorer import Scorer
from engines.common.errors import ConfigError, EngineError
from engines.common.files import write_file
from engines.judgement import judge
from engines.pictures.images import png_bytes, read_image
from engines.proof.admission import load_engine
from engines.proof.build import build_engine
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.model_config import PROFILES
from engines.recipe.thresholds import Thresholds
from engines.targets import TARGETS, target_module

GOLDEN, RECIPE, WORST, FIT, RESULT = "golden", "recipe", "worst.png", "fit.json", "result.json"
SHARES = {"fit": (0.0, 0.75), "build": (0.75, 0.8), "calibrate": (0.8, 0.9), "test": (0.9, 1.0)}  # of a category's bar
Say = Callable[[str], None]
Tell = Callable[[float, str], None]  # the share of all that is done, and what is being done


def evaluate(request: EvaluateRequest, say: Say, tell: Tell) -> dict[str, Result]:
    """The results of all categories by name; of those that are finished, from the output folder.

    Raises UserError kinds for everything that the user can mend; run again, it goes on where it was.
    """
    if request.network not in PROFILES or request.profile not in PROFILES[request.network]:
        known = "; ".join(f"{name}: {', '.join(profiles)}" for name, profiles in PROFILES.items())
        raise ConfigError(f"--network {request.network} --profile {request.profile}: no such pair; choose from {known}")
    target_module(request.target, request.precision)  # now, not after the fit
    categories = [category for data in request.data for category in find_categories(data)]
    doubled = [name for name, count in Counter(category.name for category in categories).items() if count > 1]
    if doubled:
        raise ConfigError(f"two categories are called {doubled[0]}; evaluate them in two calls, with an --output each")
    # All is read once before anything long begins: a file that is missing is told of now.
    identified = [identities(category, request) for category in categories]
    results = {}
    for i, (category, (fitted_as, tested_as)) in enumerate(zip(categories, identified, strict=True)):
        folder = request.output / category.name
        finished = read_kept(folder / RESULT, Finished)
        if finished is not None and finished.identity == tested_as:
            say(f"{category.name}: finished before, and neither data nor settings have changed since")
        else:
            finished = _Evaluation(category, request, folder, say, _part(tell, i, len(categories))).run(fitted_as, tested_as)
        results[category.name] = finished.result
        tell((i + 1) / len(categories), category.name)
    return results


def _part(tell: Tell, i: int, parts: int) -> Tell:
    """What tells the share of the whole that the i-th of so many equal parts has reached."""
    return lambda done, what: tell((i + done) / parts, what)


class _Evaluation:
    """Of one category."""

    def __init__(self, category: Category, request: EvaluateRequest, folder: Path, say: Say, tell: Tell) -> None:
        self._category, self._request, self._folder, self._told = category, request, folder, tell
        self._golden = folder / GOLDEN
        self._say: Say = lambda text: say(f"{category.name}: {text}")

    def run(self, fitted_as: str, tested_as: str) -> Finished:
        """From pictures to the result, which is kept."""
        request = self._request
        self._link_golden()
        recipe, seconds = self._fit(fitted_as)
        if TARGETS[request.target].reference != request.precision:
            self._need_engine(recipe)
        thresholds = calibrate_thresholds(
            ThresholdsRequest(
                recipe=recipe,
                golden=self._golden,
                target=request.target,
                precision=request.precision,
                max_false_reject=request.max_false_reject,
                confidence=request.confidence,
                note="for an evaluation",
            ),
            self._say,
            lambda done, total: self._tell("calibrate", done / total),
        )
        with Scorer.judging(recipe, thresholds, request.target, request.precision) as scorer:
            judged, pixels, frame_ms = self._test(scorer, thresholds)
            sheet = worst_sheet(self._category, judged, scorer, thresholds)
        fitted = sum(not sample.held_out for sample in recipe.manifest.golden)
        result = summarise(judged, pixels, thresholds, fitted=fitted, fit_seconds=seconds, frame_ms=frame_ms)
        finished = Finished(tested_as, result, tuple(judged))
        write_file(self._folder / WORST, png_bytes(sheet))
        write_kept(self._folder / RESULT, finished)
        return finished

    def _fit(self, identity: str) -> tuple[Recipe, float]:
        """The category's recipe, and the seconds that its fit took, interruptions left out."""
        folder, record = self._folder / RECIPE, self._folder / FIT
        before = read_kept(record, Fitted)
        spent = before.seconds if before is not None and before.identity == identity else 0.0
        if folder.exists() and spent:
            return load_recipe(folder), spent
        shutil.rmtree(folder, ignore_errors=True)  # of other data or settings
        request = self._request
        asked = FitRequest(
            golden=self._golden,
            recipe=folder,
            network=request.network,
            profile=request.profile,
            backbone_weights=request.backbone_weights,
            rows=request.rows,
            columns=request.columns,
            steps=request.steps,
            seed=request.seed,
        )

        def tell(progress: Progress) -> None:
            left = int(progress.eta_seconds)
            self._tell("fit", progress.step / progress.steps, f"{left // 60}:{left % 60:02d} left")

        begun = time.monotonic()
        try:
            fit = RecipeFit(asked, self._say)
            # Without steps what serves first; with them the whole network.
            alone = request.steps is None and has_memory(config_of(asked))
            recipe = fit.remember() if alone else fit.restore(tell)
        finally:
            seconds = spent + time.monotonic() - begun
            write_kept(record, Fitted(identity, seconds))
        return recipe, seconds

    def _tell(self, part: str, done: float, note: str = "") -> None:
        begin, end = SHARES[part]
        self._told(begin + (end - begin) * done, f"{self._category.name}: {part}  {note}".rstrip())

    def _link_golden(self) -> None:
        """A folder of all training pictures, wherever they lie: links, named by their place in the set."""
        shutil.rmtree(self._golden, ignore_errors=True)  # the links, not what they point to
        self._golden.mkdir(parents=True)
        for file in self._category.train:
            (self._golden / "-".join(relative(file, self._category).parts)).symlink_to(file.resolve())

    def _need_engine(self, recipe: Recipe) -> None:
        """Build the engine unless there is one that proved to be near the reference."""
        request = self._request
        try:
            load_engine(recipe, request.target, request.precision, any_thresholds=True).close()
        except EngineError:
            build_engine(
                recipe,
                request.target,
                request.precision,  # type: ignore[arg-type]  # checked by target_module
                self._golden,
                None,
                self._say,
                lambda done, total: self._tell("build", done / total),
            )

    def _test(self, scorer: Scorer, thresholds: Thresholds) -> tuple[list[Judged], dict[str, PixelMeasures], float]:
        """Every test picture's verdict, the measures of the pixels of each kind, and the median milliseconds of a frame.

        Pixels are measured at each picture's own resolution, which its map is brought to.
        """
        category = self._category
        judged, times = [], []
        pixels: dict[str, PixelMeasures] = {}
        any_masks = any(picture.masks for picture in category.test)
        for done, picture in enumerate(category.test, start=1):
            image = read_image(picture.file)
            judgement = judge(scorer.measure(image, str(picture.file)), thresholds)
            times.append(scorer.frame_ms)
            if judgement.fault:
                raise EngineError(f"{picture.file}: {scorer.engine} gives a score that is not finite; choose another precision")
            score, level = judgement.score, judgement.level()
            judged.append(
                Judged(
                    relative(picture.file, category).as_posix(),
                    picture.kind,
                    score,
                    level,
                    thresholds.deviation(score, level),
                    judgement.passed,
                )
            )
            if any_masks and picture.marked:
                height, width = image.shape[:2]
                picture_map = cv2.resize(judgement.measured.frame_map, (width, height), interpolation=cv2.INTER_LINEAR)
                masks = read_masks(category, picture, height, width)
                pixels.setdefault(picture.kind, PixelMeasures()).take(np.asarray(picture_map, np.float32), masks)
            self._tell("test", done / len(category.test))
        return judged, pixels, float(np.median(times))
