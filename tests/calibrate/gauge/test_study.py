"""A study's result from takes whose truth is known: flips, distances, causes, ratings, what it advises, its form."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from scipy import stats

from calibrate.gauge.advice import findings
from calibrate.gauge.causes import Look, find_causes, look, reduced
from calibrate.gauge.study import Count, Header, Study, evaluate
from calibrate.gauge.study_charts import range_chart, score_chart
from calibrate.gauge.study_form import make_form
from calibrate.gauge.study_pictures import Take
from calibrate.gauge.variation import flip_chance
from engines.common.errors import ImageError
from engines.recipe.thresholds import Guarantee, Scale, Thresholds
from tests.calibrate.pages.page_reader import PageReader

SVG = "{http://www.w3.org/2000/svg}"
HEADER = Header(
    line="3",
    recipe="bracket",
    recipe_digest="9f2c" * 16,
    engine="openvino float32",
    thresholds_version=4,
    thresholds_engine="openvino float32",
    score="max",
    pictures="study-3 <kept>",
    simulated=False,
    created="2026-11-22T06:00:00+00:00",
    created_by="Q. Engineer",
)
THRESHOLDS = Thresholds(
    version=4,
    recipe_digest="9f2c" * 16,
    engine="openvino float32",
    score="max",
    score_threshold=1.0,
    pixel_threshold=1.0,
    minimum_area=12,
    scale=Scale(score_centre=math.log(0.5), score_spread=0.1, level_centre=math.log(0.5), level_spread=0.1),
    limit=math.log(2) / 0.1,
    guarantee=Guarantee(0.01, 0.95, 50, None, 0.06, 249, None),
    method="set by hand",
    promise="none",
    samples=(),
    rejects=(),
    candidates={},
    choice="set by hand",
    ignore_mask=None,
    created="2026-11-22T05:00:00+00:00",
    created_by="test",
    note="",
)
Change = Callable[[np.random.Generator, int], tuple[float, Look]]  # of a repeat: what log-scores gain, and its look


def _steady(rng: np.random.Generator, _repeat: int) -> tuple[float, Look]:
    return 0.02 * float(rng.normal()), _look(rng)


def _look(rng: np.random.Generator, x: float = 0.0, brightness: float = 100.0, sharpness: float = -3.0) -> Look:
    dx, dy, db, ds = (float(value) for value in rng.normal(0, 0.05, 4))
    return Look(x + dx, dy, brightness + db, sharpness + 0.01 * ds)


def _study(
    means: list[float],
    repeats: int = 10,
    change: Change = _steady,
    level: float = 0.3,  # of regions, over the score
    truth: str = "",  # g or b or ? for each part
    appraisers: tuple[str, ...] = ("",),
) -> Study:
    rng = np.random.default_rng(1)
    takes = []
    for i, mean in enumerate(means):
        for j, appraiser in enumerate(appraisers):
            for repeat in range(repeats):
                added, seen = change(rng, repeat)
                score = mean * math.exp(added + 0.05 * j)
                takes.append(_take(f"part-{i + 1:02d}", appraiser, f"{repeat}.png", score, level * score, seen))
    known = {f"part-{i + 1:02d}": "bad" if word == "b" else "good" for i, word in enumerate(truth) if word != "?"}
    return evaluate(HEADER, THRESHOLDS, takes, known)


def _take(part: str, appraiser: str, name: str, score: float, level: float, seen: Look) -> Take:
    passed = score <= THRESHOLDS.score_threshold and level <= THRESHOLDS.pixel_threshold
    return Take(part, appraiser, name, score, level, THRESHOLDS.deviation(score, level), passed, seen)


def _said(study: Study) -> str:
    return "\n".join(f"{one.kind}: {one.text}" for one in findings(study))


def test_a_part_at_the_threshold_flips_and_its_distance_and_chance_are_told() -> None:
    study = _study([0.5, 0.52, 0.48, 0.995, 1.8, 1.9], truth="gggbbb")
    flipping = study.parts[3]
    assert [part.flips for part in study.parts] == [False, False, False, True, False, False]
    assert 0 < flipping.rejects < 10
    assert flipping.distance == pytest.approx((flipping.deviation - THRESHOLDS.limit) / study.deviation.grr)
    assert flipping.distance == pytest.approx(math.log(0.995) / 0.02, abs=0.8)
    assert flipping.flip_chance == pytest.approx(flip_chance(flipping.distance))
    assert study.parts[0].distance == pytest.approx(math.log(0.5) / 0.02, rel=0.2)
    assert study.parts[0].flip_chance == pytest.approx(0.0, abs=1e-12)
    assert (study.steady.count, study.steady.of) == (5, 6)
    assert study.bad_passed == Count(10 - flipping.rejects, 30)
    assert study.good_rejected == Count(0, 30)
    assert study.right is not None
    assert (study.right.count, study.right.of) == (5, 6)
    assert "mend: 1 of 6 parts did not get the same verdict each time: part-04" in _said(study)
    assert "Bad parts passed" in _said(study)


def test_ratings_are_the_manuals() -> None:
    fine = _study([0.3, 0.5, 0.4, 1.8, 1.9, 1.7], truth="gggbbb")
    assert fine.deviation.ev == pytest.approx(0.2, rel=0.25)
    typical = np.log(np.array([0.3, 0.5, 0.4]) / 0.5).mean() / 0.1
    assert fine.good_deviation == pytest.approx(typical, abs=0.1)
    assert fine.tolerance_percent == pytest.approx(300 * 0.2 / (THRESHOLDS.limit - typical), rel=0.25)
    assert fine.ratings == {
        "%GRR of total variation": "acceptable",
        "ndc": "acceptable",
        "%GRR of tolerance": "acceptable",
        "kappa over repeats": "acceptable",
        "kappa against the truth": "acceptable",
    }
    assert "mend" not in _said(fine)
    loud = _study([0.7, 0.8, 0.75, 0.9], change=lambda rng, _: (0.3 * float(rng.normal()), _look(rng)))
    assert loud.ratings["%GRR of total variation"] == "not acceptable"
    assert loud.ratings["ndc"] == "not acceptable"
    assert loud.ratings["kappa over repeats"] == "not acceptable"
    assert loud.ratings["kappa against the truth"] is None
    assert "look for parts that turn or tilt" in _said(loud)
    middle = _study([0.50, 0.60, 0.7, 0.55], change=lambda rng, _: (0.03 * float(rng.normal()), _look(rng)))
    assert middle.ratings["%GRR of total variation"] == "conditional"


def test_parts_that_are_much_alike_are_told_from_a_gauge_that_scatters() -> None:
    study = _study([0.3, 0.305, 0.31, 0.302], change=lambda rng, _: (0.01 * float(rng.normal()), _look(rng)))
    assert study.ratings["%GRR of total variation"] == "not acceptable"
    assert study.ratings["%GRR of tolerance"] == "acceptable"
    assert "parts' scores are much alike, not because the gauge scatters" in _said(study)
    assert "mend" not in _said(study)


def test_a_region_over_its_threshold_is_a_reject_whose_distance_counts() -> None:
    study = _study([0.3, 0.5, 0.7, 0.62], level=1.6)
    near = study.parts[3]
    assert near.flips
    assert near.distance == pytest.approx(math.log(1.6 * 0.62) / 0.02, abs=0.8)
    assert near.highest < 1.0, "by the score alone it would pass"
    assert study.parts[2].rejects == 10


@pytest.mark.parametrize(
    ("name", "change", "mend"),
    [
        ("position", lambda rng, _: _shifted(rng), "Mend the fixture"),
        ("brightness", lambda rng, _: _lit(rng), "Mend the light"),
        ("sharpness", lambda rng, _: _blurred(rng), "Mend the focus"),
        ("time", lambda rng, repeat: (0.05 * repeat, _look(rng)), "warm up"),
    ],
)
def test_what_the_scores_go_with_is_named_with_its_mend(name: str, change: Change, mend: str) -> None:
    study = _study([0.5, 0.6, 0.7, 0.9], change=change)
    named = [cause for cause in study.causes if cause.named]
    assert [cause.name for cause in named] == [name]
    assert 0.8 < named[0].share <= 1
    assert named[0].chance < 1e-6
    assert mend in _said(study)
    assert all(cause.share < 0.25 for cause in study.causes if cause.name != name)


def _shifted(rng: np.random.Generator) -> tuple[float, Look]:
    x = float(rng.normal(0, 3))
    return 0.02 * x * x + 0.005 * float(rng.normal()), _look(rng, x=x)  # worse to both sides


def _lit(rng: np.random.Generator) -> tuple[float, Look]:
    brightness = float(rng.normal(100, 8))
    return 0.03 * abs(brightness - 100) ** 1.5 / 8, _look(rng, brightness=brightness)


def _blurred(rng: np.random.Generator) -> tuple[float, Look]:
    sharpness = float(rng.normal(-3, 0.3))
    return -0.4 * sharpness, _look(rng, sharpness=sharpness)


def test_spreads_have_their_units() -> None:
    position, brightness, *_ = _study([0.5, 0.6, 0.7], repeats=40, change=lambda rng, _: _shifted(rng)).causes
    assert (position.name, position.unit) == ("position", "px")
    assert position.spread == pytest.approx(3.0, rel=0.15)
    assert (brightness.name, brightness.unit) == ("brightness", "%")
    assert brightness.spread == pytest.approx(0.05, rel=0.2)


def test_noise_is_not_taken_for_a_cause() -> None:
    rng = np.random.default_rng(0)
    found = [find_causes(rng.normal(size=(5, 1, 10)), rng.normal(size=(5, 1, 10, 4)) + 9) for _ in range(200)]
    assert sum(any(cause.named for cause in causes) for causes in found) <= 5
    by_chance = sum(cause.chance < 0.05 for causes in found for cause in causes)
    assert stats.binomtest(by_chance, 800, 0.05).pvalue > 1e-3, "p-values are what they say"
    few = _study([0.5, 0.6], repeats=2)
    assert [cause.named for cause in few.causes] == [False] * 4, "two repeats of two parts tell nothing"


def test_shift_brightness_and_blur_of_a_picture_are_measured() -> None:
    import cv2

    rng = np.random.default_rng(2)
    noise = np.clip(cv2.GaussianBlur(rng.normal(0, 400, (300, 400)).astype(np.float32), (0, 0), 3.0) + 110, 0, 255)
    region = (40, 30, 320, 240)
    first = reduced(noise.astype(np.uint8), region)
    assert first.shape == (240, 320)

    def seen(picture: np.ndarray) -> Look:
        return look(reduced(np.clip(picture, 0, 255).astype(np.uint8), region), first, region)

    moved = cv2.warpAffine(noise, np.array([[1, 0, 2.5], [0, 1, -1.5]], np.float32), (400, 300), borderMode=cv2.BORDER_REFLECT)
    assert (seen(moved).x, seen(moved).y) == pytest.approx((2.5, -1.5), abs=0.25)
    assert seen(noise * 1.1).brightness / seen(noise).brightness == pytest.approx(1.1, abs=0.01)
    assert seen(noise * 1.1).sharpness == pytest.approx(seen(noise).sharpness, abs=0.1), "light is not focus"
    assert seen(cv2.GaussianBlur(noise, (0, 0), 2.0)).sharpness < seen(noise).sharpness - 0.2
    other = np.random.default_rng(3).integers(0, 255, (300, 400)).astype(np.float32)
    assert np.isnan(seen(other).x), "another picture has no shift"


def test_a_part_that_varies_more_than_the_others_is_pointed_out() -> None:
    rng = np.random.default_rng(5)
    takes = []
    for i in range(6):
        for repeat in range(6):
            score = 0.5 + 0.05 * i + (0.12 if i == 2 else 0.01) * float(rng.normal())
            takes.append(_take(f"p{i}", "", f"{repeat}.png", score, 0.1, _look(rng)))
    study = evaluate(HEADER, THRESHOLDS, takes, {})
    assert [part.unsteady for part in study.parts] == [False, False, True, False, False, False]
    assert "More variation between repeats than of the other parts: p2 (" in _said(study)


def test_appraisers_add_reproducibility() -> None:
    study = _study([0.3, 0.4, 0.5, 0.6, 0.7, 0.8], repeats=3, appraisers=("early", "late"))
    assert study.appraisers == ("early", "late")
    assert study.deviation.av == pytest.approx(0.5 / 2**0.5, rel=0.4)
    assert study.deviation.grr == pytest.approx(np.hypot(study.deviation.ev, study.deviation.av))
    assert study.score.grr_percent_low is None
    assert len(study.ranges.values[0]) == 2
    assert "AV, appraiser variation" in make_form(study)
    assert "2 appraisers" in make_form(study)


def test_takes_that_are_no_study_are_refused() -> None:
    rng = np.random.default_rng(0)
    takes = [_take(f"p{i // 2}", "", f"{i}.png", 0.1 * i + 0.1, 0.1, _look(rng)) for i in range(5)]
    for chosen in (takes, takes[:2]):
        with pytest.raises(ImageError, match="2 parts at least, and the same number of repeats"):
            evaluate(HEADER, THRESHOLDS, chosen, {})


def test_the_json_is_the_study_whole() -> None:
    study = _study([0.5, 0.995, 1.5], truth="g?b")
    again = msgspec.json.decode(msgspec.json.encode(study), type=Study)
    assert again == study
    assert again.parts[1].truth is None


def test_the_form_stands_alone_and_says_what_was_studied() -> None:
    study = _study([0.3, 0.5, 0.995, 1.8], truth="ggbb")
    page = PageReader(make_form(study))
    assert page.loads_nothing()
    for told in ("line 3", "9f2c9f2c9f2c9f2c", "openvino float32", "version 4", "2026-11-22 06:00 UTC", "Q. Engineer", "AIAG"):
        assert told in page.text
    assert page.tags.count("svg") == 2
    assert "not acceptable" in page.text or "conditional" in page.text or "acceptable" in page.text
    assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", page.text.lower())


def test_names_in_the_form_are_text() -> None:
    nasty = """<script>alert("1")</script>' onload="x" & &lt; {{ 7 * 7 }}"""
    study = _study([0.3, 0.5, 0.995, 1.8], truth="ggbb")
    pages = []
    for text in ("anything", nasty):
        names = dict.fromkeys(("line", "recipe", "engine", "thresholds_engine", "pictures", "created_by"), text)
        header = msgspec.structs.replace(HEADER, **names)
        parts = tuple(msgspec.structs.replace(part, name=text) for part in study.parts)
        pages.append(PageReader(make_form(msgspec.structs.replace(study, header=header, parts=parts))))
    plain, named = pages
    assert named.tags == plain.tags, "a name makes no element"
    assert named.loads_nothing()
    assert named.text.count(nasty) == plain.text.count("anything") == 2 + 5 + 4 + 2, "title, head, parts, findings"


def test_charts_hold_each_take_and_range_and_are_the_same_each_time() -> None:
    study = _study([0.3, 0.5, 0.995, 1.8], truth="ggbb")
    scores, ranges = score_chart(study), range_chart(study)
    assert (scores, ranges) == (score_chart(study), range_chart(study))
    rejects = sum(not take.passed for take in study.takes)
    assert 0 < rejects < 40
    assert _marks(scores, "scores-pass") == 40 - rejects
    assert _marks(scores, "scores-reject") == rejects
    over = sum(value > study.ranges.upper for row in study.ranges.values for value in row)
    assert (_marks(ranges, "ranges-within"), _marks(ranges, "ranges-over")) == (4 - over, over)
    assert ">threshold 1</text>" in scores
    assert f">upper control limit {study.ranges.upper:.3g}</text>" in ranges
    assert ">Score (max) of each take</text>" in scores, "text stays text"


def _marks(svg: str, name: str) -> int:
    """Marks in the group of this name."""
    groups = [one for one in ElementTree.fromstring(svg).iter(f"{SVG}g") if one.get("id") == name]
    return sum(len(list(group.iter(f"{SVG}use"))) for group in groups)


def test_a_study_in_which_nothing_varies_still_has_a_form() -> None:
    rng = np.random.default_rng(0)
    takes = [_take(f"p{i // 2}", "", f"{i}.png", 0.5, 0.1, _look(rng)) for i in range(4)]
    study = evaluate(HEADER, THRESHOLDS, takes, {})
    assert study.ratings["%GRR of total variation"] is None
    assert study.ratings["ndc"] is None
    assert "there is nothing to analyse" in _said(study)
    assert make_form(study).count("<svg") == 2
