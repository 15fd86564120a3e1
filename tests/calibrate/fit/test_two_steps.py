"""A fit in two steps: a recipe with a memory alone, which a line can run on, and one with restoration where that pays."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from calibrate.cli import fit as fit_command
from calibrate.fit import recipe_fit, restoration_trial
from calibrate.fit.fit_request import FitRequest, state_folder
from calibrate.fit.recipe_fit import RecipeFit
from calibrate.fit.restoration_trial import trial_samples
from calibrate.fit.training import Progress
from engines.judgement import judge, measure
from engines.pictures.images import read_image
from engines.recipe.bundle import WEIGHTS, Recipe, load_recipe
from engines.recipe.model_config import TFANetConfig
from engines.recipe.thresholds import load_thresholds
from engines.recipe.trials import Trial, load_trials
from engines.targets import load_reference, run_once

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_batches")]
STEPS = 4
KEPT = Trial("restoration", True, 0.2, 0.1, 0.05, 0.15, 4)
LEFT_OUT = msgspec.structs.replace(KEPT, kept=False, low=-0.05)


def quiet(_: object) -> None:
    """Nothing is told."""


@pytest.fixture
def request_of(golden_folder: Path, tmp_path: Path) -> FitRequest:
    return FitRequest(golden_folder, tmp_path / "module", steps=STEPS)


def digest(recipe: Recipe) -> str:
    return hashlib.sha256((recipe.folder / WEIGHTS).read_bytes()).hexdigest()


def test_the_first_recipe_has_a_memory_alone_and_tells_defects(request_of: FitRequest, parts_folder: Path) -> None:
    first = RecipeFit(request_of, quiet).remember()
    model = first.manifest.model
    assert isinstance(model, TFANetConfig)
    assert not model.restoration
    assert (first.manifest.steps, first.manifest.held_out_loss, first.manifest.curve) == (0, None, ())
    slot = load_reference(load_recipe(first.folder)).new_slot()
    scores = []
    for file in sorted(parts_folder.iterdir()):
        run_once(slot, read_image(file), first.manifest.geometry)
        scores.append(float(slot.scores[1]))
    good, defective = scores[::6], [score for i, score in enumerate(scores) if i % 6]
    assert max(good) < np.median(defective)


def test_the_same_seed_gives_the_same_first_recipe(request_of: FitRequest, tmp_path: Path) -> None:
    again = msgspec.structs.replace(request_of, recipe=tmp_path / "again")
    assert digest(RecipeFit(request_of, quiet).remember()) == digest(RecipeFit(again, quiet).remember())


@pytest.mark.parametrize("trial", [KEPT, LEFT_OUT])
def test_a_second_recipe_is_written_only_where_restoration_pays(
    request_of: FitRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: Trial
) -> None:
    monkeypatch.setattr(recipe_fit, "try_restoration", lambda *_: trial)
    fit = RecipeFit(request_of, quiet)
    first = fit.remember()
    before = digest(first)
    second = fit.try_restoring(tmp_path / "module-restored", quiet)
    assert digest(load_recipe(first.folder)) == before, "a line may run on it"
    assert load_trials(first) == (trial,)
    assert not state_folder(first.folder).exists()
    assert (tmp_path / "module-restored").exists() == trial.kept
    if second is not None:
        assert isinstance(second.manifest.model, TFANetConfig)
        assert second.manifest.model.restoration
        assert (second.manifest.steps, len(second.manifest.curve)) == (STEPS, STEPS)
        assert load_trials(second) == (trial,)


def test_restoration_is_tried_on_samples_it_has_not_seen(
    request_of: FitRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    real = restoration_trial.try_restoration

    def watched(network, backbone, known, pool, images, *others):  # type: ignore[no-untyped-def]
        seen.append((len(known), len(images)))
        return real(network, backbone, known, pool, images, *others)

    monkeypatch.setattr(recipe_fit, "try_restoration", watched)
    monkeypatch.setattr(restoration_trial, "DRAWS", 1)
    fit = RecipeFit(request_of, quiet)
    first = fit.remember()
    fit.try_restoring(tmp_path / "module-restored", quiet)
    fitted = sum(not sample.held_out for sample in first.manifest.golden)
    assert [known + images for known, images in seen] == [fitted]
    (trial,) = load_trials(first)
    assert trial.part == "restoration"
    assert trial.samples == seen[0][1]
    assert 0 < trial.error_without < 0.5
    assert trial.low is not None
    assert trial.high is not None
    assert trial.low < trial.high
    assert trial.kept == (trial.low > 0)


@pytest.mark.parametrize("count", [8, 20, 175])
def test_the_template_is_never_kept_back(count: int) -> None:
    for seed in range(5):
        known, kept_back = trial_samples(count, template=3, seed=seed)
        assert sorted([*known, *kept_back]) == list(range(count))
        assert 3 in known
        assert 4 <= len(kept_back) <= 16
        assert (known, kept_back) == trial_samples(count, template=3, seed=seed)


def test_an_interrupted_second_step_goes_on(
    golden_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process: Callable[..., object]
) -> None:
    told: list[int] = []

    def interrupt(progress: Progress) -> None:
        told.append(progress.step)
        if told == [1, 2]:
            raise KeyboardInterrupt

    monkeypatch.setattr(fit_command, "_tell", lambda _: interrupt)
    monkeypatch.setattr(fit_command, "_calibrate", lambda *_: None)
    monkeypatch.setattr(recipe_fit, "try_restoration", lambda *_: KEPT)
    monkeypatch.setattr("calibrate.fit.training.SAVE_SECONDS", 0.0)
    words = ("calibrate", "fit", "--golden", golden_folder, "--recipe", tmp_path / "module", "--steps", 10)
    in_process(*words)
    before = digest(load_recipe(tmp_path / "module"))
    in_process(*words)
    assert told == [*range(1, 3), *range(3, 11)]
    assert digest(load_recipe(tmp_path / "module")) == before
    whole = RecipeFit(FitRequest(golden_folder, tmp_path / "other", steps=10), quiet)
    whole.remember()
    second = whole.try_restoring(tmp_path / "other-restored", quiet)
    assert second is not None
    assert digest(load_recipe(tmp_path / "module-restored")) == digest(second)


def test_the_command_ends_with_a_recipe_that_a_line_can_run_on(
    golden_folder: Path, parts_folder: Path, tmp_path: Path, in_process: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calibrate.thresholds.calibration.SYNTHETIC", 9)
    done = in_process("calibrate", "fit", "--golden", golden_folder, "--recipe", tmp_path / "module", "--then-stop")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)  # type: ignore[attr-defined]
    made = load_recipe(tmp_path / "module")
    thresholds = load_thresholds(made)
    assert thresholds is not None
    assert thresholds.engine == "openvino float32"
    slot = load_reference(made).new_slot()
    verdicts = []
    for file in sorted(parts_folder.iterdir()):
        run_once(slot, read_image(file), made.manifest.geometry)
        verdicts.append(judge(measure(slot.frame_map, slot.scores, None), thresholds).passed)
    assert verdicts[0]
    assert not all(verdicts)
    assert not shutil.os.path.exists(tmp_path / "module-restored")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--network", "thfr", "--then-stop"), "--then-stop: thfr small has no memory"),
        (("--profile", "base", "--then-stop"), "--then-stop: tfa-net base has no memory"),
        (("--steps", 20, "--then-stop"), "--steps: only restoration is fitted in steps"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    golden_folder: Path, tmp_path: Path, in_process: Callable[..., object], words: tuple[object, ...], named: str
) -> None:
    done = in_process("calibrate", "fit", "--golden", golden_folder, "--recipe", tmp_path / "module", *words)
    assert done.returncode == 2  # type: ignore[attr-defined]
    assert named in done.stderr  # type: ignore[attr-defined]
