"""Judging: what passes, how near to its limits a frame is, and that all who judge give one answer."""

from __future__ import annotations

import ast
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import cv2
import msgspec
import numpy as np
import pytest
from scipy import ndimage

from appliance.capture import Frame
from appliance.checks.known_parts import show_pictures
from appliance.checks.replay_comparison import Archived, replay
from appliance.config.line import Line, load_line
from appliance.line.offline import through
from calibrate.thresholds.scorer import Scorer
from engines.judgement import Judgement, judge, measure
from engines.pictures.geometry import Geometry
from engines.pictures.images import png_bytes, read_image
from engines.pictures.scores import SCORES, ScoreName, frame_scores
from engines.proof.parity import compare
from engines.recipe.bundle import load_recipe
from engines.recipe.ignore_mask import ignored_by
from engines.recipe.thresholds import Thresholds, save_thresholds
from tests.appliance.conftest import Floats, MadeEngine, loaded_recipe, make_thresholds, make_verdict
from tests.engines.made_recipe import made_recipe
from tests.engines.made_thresholds import consistent

SIDE, FRAMES, AREA = 64, 96, 4
GEOMETRY = Geometry(frame=(SIDE, SIDE), region=(0, 0, SIDE, SIDE), input_side=SIDE)
THRESHOLDS = make_thresholds(score="max", score_threshold=2.0, pixel_threshold=1.0, minimum_area=AREA)
UP = np.float32(np.inf)  # for nextafter
REPOSITORY = Path(__file__).parents[2]


def _judged(frame_map: Floats, scores: Floats | None = None, thresholds: Thresholds = THRESHOLDS) -> Judgement:
    return judge(measure(frame_map, frame_scores(frame_map) if scores is None else scores, None), thresholds)


def _map(level: float, side: int) -> Floats:
    frame_map = np.full((SIDE, SIDE), 0.1, np.float32)
    frame_map[4 : 4 + side, 4 : 4 + side] = level
    return frame_map


@pytest.mark.parametrize(("level", "side", "rejected"), [(1.5, 3, True), (0.9, 3, False), (1.5, 1, False), (2.5, 1, True)])
def test_score_or_region_rejects_and_the_margin_says_the_same(level: float, side: int, rejected: bool) -> None:
    judgement = _judged(_map(level, side))
    assert judgement.passed != rejected
    assert (judgement.margin() > 1) == rejected
    assert [region.area for region in judgement.regions] == ([9] if level > 1 and side == 3 else [])


def test_the_margin_is_the_regions_level_over_the_pixel_threshold() -> None:
    judgement = _judged(_map(1.5, 3))
    assert judgement.level() == pytest.approx(1.5, rel=2e-3)
    assert judgement.margin() == pytest.approx(1.5, rel=2e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_map_or_score_that_is_not_finite_has_a_fault_and_no_margin(value: float) -> None:
    by_score = _judged(_map(0.5, 3), np.full(3, value, np.float32))
    frame_map = _map(0.5, 3)
    frame_map[0, 0] = value
    by_map = _judged(frame_map, np.full(3, 0.5, np.float32))
    for judgement in (by_score, by_map):
        assert not judgement.passed
        assert judgement.fault == "the score or the map is not finite"
        assert np.isnan(judgement.margin())
    assert np.isnan(by_map.level())


def test_ignored_pixels_are_out_of_map_and_scores_whatever_they_held() -> None:
    ignored = np.zeros((SIDE, SIDE), np.bool_)
    ignored[20:] = True
    frame_map = _map(0.75, 3)
    frame_map[30, :3] = np.nan, np.inf, -np.inf
    measured = measure(frame_map, np.full(3, np.nan, np.float32), ignored)
    assert measured.finite
    assert measured.frame_map is frame_map
    assert not frame_map[20:].any()
    assert measured.score("max") == 0.75
    assert judge(measured, THRESHOLDS).passed


def test_a_region_touches_a_mask_only_where_it_is_over_the_threshold() -> None:
    frame_map = _map(1.5, 3)
    frame_map[5, 5] = 0.1  # a hole
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[5, 5] = mask[40, 40] = True
    judgement = _judged(frame_map)
    assert not judgement.touches(mask)
    mask[4, 6] = True
    assert judgement.touches(mask)


# All who judge


class Made(NamedTuple):
    """What an engine says of a frame."""

    frame_map: Floats
    scores: Floats


def _random(rng: np.random.Generator, kind: int) -> Made:
    """A map with what is near a limit, or not finite; somewhere, so that an ignore-mask hides some of it."""
    frame_map = rng.uniform(0, 0.2, (SIDE, SIDE)).astype(np.float32)
    y, x = rng.integers(0, SIDE - 8, 2)
    scores = None
    match kind:
        case 0:  # a region of any area
            height, width = rng.integers(1, 5, 2)
            frame_map[y : y + height, x : x + width] = rng.uniform(0.4, 0.9)
        case 1:  # at the pixel threshold, and the next number after it
            frame_map[y : y + 3, x : x + 3] = 0.5 if rng.random() < 0.5 else np.nextafter(np.float32(0.5), UP)
            frame_map[y + 5, x] = 0.6  # a peak of its own, that bisections begin from
        case 2:  # just the minimum area, and one less
            frame_map[y, x : x + AREA - int(rng.integers(2))] = 0.6
        case 3:  # touching at corners only
            frame_map[y + np.arange(AREA), x + np.arange(AREA)] = 0.6
        case 4:
            frame_map[y, x] = rng.choice([np.nan, np.inf, -np.inf])
        case 5:
            frame_map[y, x : x + 2] = np.inf, -np.inf
        case 6:
            scores = np.full(len(SCORES), rng.choice([np.nan, np.inf, -np.inf]), np.float32)
        case _:  # nothing
            pass
    return Made(frame_map, frame_scores(frame_map) if scores is None else scores)


def _expected(made: Made, thresholds: Thresholds, ignored: np.ndarray | None) -> bool:
    """Whether a frame passes, written another way: by a labelling of another library, over the whole map."""
    frame_map, scores = made.frame_map.copy(), made.scores
    if ignored is not None:
        frame_map[ignored] = 0
        scores = frame_scores(frame_map)
    score = scores[SCORES.index(thresholds.score)]
    if not (np.isfinite(frame_map).all() and np.isfinite(score)):
        return False
    labels, _ = ndimage.label(frame_map > thresholds.pixel_threshold, np.ones((3, 3)))
    return float(score) <= thresholds.score_threshold and not (np.bincount(labels.flat)[1:] >= thresholds.minimum_area).any()


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """A line whose recipe was made without a fit."""
    made_recipe(tmp_path / "recipe", GEOMETRY)
    settings = f"recipe = {json.dumps(str(tmp_path / 'recipe'))}\n[camera]\nkind = 'replay'\nsource = '.'\n"
    (tmp_path / "3.toml").write_text(settings, encoding="utf-8")
    return load_line("3", tmp_path)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> MadeEngine:
    """Stands in for the recipe's engine, for the line as for calibration."""
    engine = MadeEngine()
    engine.geometry = GEOMETRY
    for module in ("appliance.line.recipe_at_work", "calibrate.thresholds.scorer"):
        monkeypatch.setattr(f"{module}.load_engine", lambda *_, **__: engine)
    return engine


def _saying(frames: Sequence[Made], engine: MadeEngine) -> MadeEngine:
    """An engine that says this, one frame after the other, from the first one on."""

    def act(call: int, frame_map: Floats, scores: Floats) -> None:
        frame_map[:], scores[:] = frames[call - 1]

    engine.act, engine.calls, engine.geometry = act, 0, GEOMETRY
    return engine


def _parity_passes(made: Made, good: Made, thresholds: Thresholds, ignored: np.ndarray | None) -> bool:
    """What the parity gate takes a frame for: the same as a good one, or not."""
    images = [np.zeros((SIDE, SIDE, 3), np.uint8)]
    with np.errstate(invalid="ignore"):  # of distances to maps that are not finite
        found = compare(
            _saying([made], MadeEngine()),
            _saying([good], MadeEngine()),
            "int8",
            GEOMETRY,
            thresholds,
            ignored,
            images,
            _unheard,
        )
    return found.flips + found.flips_in_band == 0


def _unheard(_done: int, _total: int) -> None:
    pass


def _pictures(folder: Path) -> list[Path]:
    folder.mkdir()
    files = [folder / f"{i:03d}.png" for i in range(FRAMES)]
    for file in files:
        cv2.imwrite(str(file), np.zeros((SIDE, SIDE, 3), np.uint8))
    return files


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("score", SCORES)
def test_line_parity_scorer_replay_and_challenge_give_one_answer(
    line: Line, engine: MadeEngine, tmp_path: Path, score: ScoreName, masked: bool
) -> None:
    rng = np.random.default_rng(SCORES.index(score))
    mask = png_bytes(np.repeat(np.where(np.arange(SIDE) < SIDE // 3, 255, 0), SIDE).reshape(SIDE, SIDE).astype(np.uint8))
    good = Made(np.full((SIDE, SIDE), 0.01, np.float32), np.full(len(SCORES), 0.01, np.float32))
    frames = [_random(rng, i % 8) for i in range(FRAMES)]
    recipe = load_recipe(line.config.recipe)
    thresholds = make_thresholds(
        recipe.digest,
        score=score,
        minimum_area=AREA,
        ignore_mask=hashlib.sha256(mask).hexdigest() if masked else None,
    )
    save_thresholds(recipe.folder, consistent(thresholds), mask if masked else None)
    ignored = ignored_by(recipe, thresholds)
    # At the threshold exactly: the score of a frame without regions, which others lie above and below.
    at = sorted(
        measure(one.frame_map.copy(), one.scores, ignored).score(score) for one in frames if _expected(one, thresholds, ignored)
    )
    thresholds = consistent(msgspec.structs.replace(thresholds, score_threshold=at[len(at) * 3 // 4]))
    save_thresholds(recipe.folder, thresholds)
    expected = [_expected(one, thresholds, ignored) for one in frames]
    assert FRAMES // 10 < sum(expected) < FRAMES * 3 // 4

    files = _pictures(tmp_path / "pictures")
    with closing(loaded_recipe(line)) as loaded:
        _saying(frames, engine)
        taken = (Frame(i, time.monotonic_ns(), 0, read_image(file), None, file.name) for i, file in enumerate(files))
        by_line = list(through(loaded, taken, lambda job: job.station.decider.verdict(job, "3", 1, 1, False), 2))
        _saying(frames, engine)
        shown = list(show_pictures(loaded, [(file, "pass") for file in files]))
    _saying(frames, engine)
    with closing(loaded_recipe(line)) as loaded:
        replayed = list(replay(loaded, [Archived(make_verdict(i, score=None), file) for i, file in enumerate(files, 1)]))
    _saying(frames, engine)
    with Scorer.judging(recipe, thresholds, "torch", "float32") as scorer:
        scored = list(_scored(scorer, thresholds, files))
    parity = [_parity_passes(one, good, thresholds, ignored) for one in frames]

    assert [one.verdict == "pass" for one in by_line] == expected
    assert [one.verdict == "pass" for one in shown] == expected
    assert [one.now.verdict == "pass" for one in replayed] == expected
    assert [one.passed for one in scored] == expected
    assert parity == expected
    assert [one.margin is not None and one.margin >= 0 for one in shown] == expected, "what is left up to the limit"
    assert [one.by_margin for one in scored] == expected
    assert [one.by_level for one in scored] == expected
    assert [one.score for one in by_line] == [one.score for one in shown] == [one.now.score for one in replayed]
    assert [one.score for one in by_line] == [None if one.fault else one.score for one in scored]
    assert [one.regions for one in by_line] == [one.now.regions for one in replayed]
    assert any(one.score == thresholds.score_threshold and one.passed for one in scored)


class Answer(NamedTuple):
    """A judgement's, while its map was there."""

    passed: bool
    fault: str
    score: float
    by_margin: bool
    by_level: bool


def _scored(scorer: Scorer, thresholds: Thresholds, files: Sequence[Path]) -> Iterator[Answer]:
    for file in files:
        one = judge(scorer.measure(read_image(file)), thresholds)
        by_level = not one.fault and one.score <= thresholds.score_threshold and one.level() <= thresholds.pixel_threshold
        yield Answer(one.passed, one.fault, one.score, one.margin() <= 1, by_level)


# One place


def test_scores_and_regions_of_maps_are_asked_for_by_the_judgement_alone() -> None:
    """Whoever scores a map or looks for its regions without it has begun to judge by himself; so has who compares."""
    asking, comparing = set(), set()
    for file in (one for package in ("appliance", "calibrate", "engines") for one in (REPOSITORY / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = file.relative_to(REPOSITORY).as_posix()
            if isinstance(node, ast.ImportFrom) and node.module in ("engines.pictures.scores", "engines.pictures.regions"):
                asking.update(name for one in node.names if one.name in ("frame_scores", "find_regions", "region_level"))
            if isinstance(node, ast.Compare):
                sides = (one for side in (node.left, *node.comparators) for one in ast.walk(side))
                comparing.update(
                    name
                    for one in sides
                    if isinstance(one, ast.Attribute) and one.attr in ("score_threshold", "pixel_threshold")
                )
    assert asking == comparing == {"engines/judgement.py"}
