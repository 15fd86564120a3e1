"""An operator's sensitivity: apart from the calibrated thresholds, bounded, told, and taken over by a running line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from appliance.checks.doctor import Finding, examine
from appliance.cli.main import app
from appliance.config.line import Line, load_line
from appliance.line.recipe_at_work import recipe_of
from appliance.line.running_line import RunningLine
from appliance.line.threshold_offset import Bound, Sensitivity, set_sensitivity, tell
from appliance.messages.notices import Notice
from appliance.messages.schema import Alarm, RecipeAnswer
from engines.common.errors import ConfigError, EngineError, RecipeError
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.sensitivity_changes import (
    FEWER_PROMISED,
    FILE,
    LESS_FOUND,
    MOST,
    Change,
    adjusted,
    ended,
    in_force,
    load_changes,
    save_changes,
)
from engines.recipe.thresholds import Thresholds, load_thresholds, save_thresholds
from tests.appliance.conftest import (
    Floats,
    MadeEngine,
    MakeLine,
    inspect_all,
    listen,
    loaded_recipe,
    make_thresholds,
    reasons,
    verdicts_of,
    wait_for,
)

DIGEST = "0" * 64


def change(offset: float = 0.05, version: int = 1, digest: str = DIGEST) -> Change:
    return Change(offset, version, digest, "otto", "batch 7", "2026-11-22T06:00:00.000000+00:00")


@pytest.fixture
def line(make_line: MakeLine, recipe: Recipe, tmp_path: Path, parts_folder: Path) -> Line:
    """A line that runs on and on, with a recipe of its own."""
    shutil.copytree(recipe.folder, tmp_path / "recipe", copy_function=os.link)  # files are replaced, never written into
    return make_line(camera={"kind": "replay", "source": str(parts_folder), "rate": 100, "loop": True})


def calibrated(line: Line) -> tuple[Recipe, Thresholds]:
    recipe = load_recipe(line.file.parent / "../recipe")
    thresholds = load_thresholds(recipe)
    assert thresholds is not None
    return recipe, thresholds


def run(line: Line, *words: str) -> Result:
    """`inspect sensitivity` in this process."""
    return CliRunner().invoke(app, ["sensitivity", "--line", line.name, "--config-dir", str(line.file.parent), *words])


def doctors(line: Line) -> Finding:
    """What `inspect doctor` finds; it looks no further."""
    return next(one for one in examine(line) if one.check == "sensitivity")


def nobody(_folder: Path) -> None:
    """No line runs."""


def at(share: float, thresholds: Thresholds) -> Callable[[int, Floats, Floats], None]:
    """An engine whose every part has this share of the calibrated score threshold, and no region."""

    def act(_call: int, _map: Floats, scores: Floats) -> None:
        scores.fill(share * thresholds.score_threshold)

    return act


@contextmanager
def running(line: Line) -> Iterator[RunningLine]:
    one = RunningLine(line)
    try:
        one.start()
        yield one
    finally:
        one.close()


def test_both_thresholds_are_moved_by_the_same_share() -> None:
    thresholds = make_thresholds(score_threshold=0.8, pixel_threshold=0.4)
    assert adjusted(thresholds, None) is thresholds
    for offset, factor in ((0.05, 0.95), (-0.05, 1.05), (MOST, 0.8), (-MOST, 1.2)):
        moved = adjusted(thresholds, change(offset))
        assert (moved.score_threshold, moved.pixel_threshold) == pytest.approx((0.8 * factor, 0.4 * factor), rel=1e-12)
        assert msgspec.structs.replace(moved, score_threshold=0.8, pixel_threshold=0.4) == thresholds, "all else stays"


def test_the_last_change_counts_and_only_for_the_thresholds_that_it_was_made_for() -> None:
    first, last = change(0.1), change(-0.05)
    assert in_force((), make_thresholds()) is ended((), make_thresholds()) is None
    assert in_force((first, last), make_thresholds()) is last
    assert in_force((first, change(0.0)), make_thresholds()) is None
    assert ended((first, change(0.0)), make_thresholds(version=2)) is None, "it had ended before"
    for others in (make_thresholds(version=2), make_thresholds("1" * 64), None):
        assert in_force((first, last), others) is None
        assert ended((first, last), others) is last


def test_a_line_compares_with_what_the_operator_has_set(line: Line, made_engine: MadeEngine) -> None:
    recipe, thresholds = calibrated(line)
    for offset, share, reason in (
        (0.0, 0.97, ""),
        (0.05, 0.97, "defect"),
        (0.05, 0.94, ""),
        (0.0, 1.03, "defect"),
        (-0.05, 1.03, ""),
        (-0.05, 1.06, "defect"),
    ):
        made_engine.act = at(share, thresholds)
        set_sensitivity(recipe_of(line), Bound.of(line), offset, "otto", "", nobody)
        events = inspect_all(line, parts=1)
        (verdict,) = verdicts_of(events)
        assert (verdict.reason, verdict.threshold) == (reason, thresholds.score_threshold * (1 - offset))
        told = [event for event in events if isinstance(event, Notice) and event.kind == "sensitivity"]
        assert [one.severity for one in told] == (["warning"] if offset else [])
        assert all(f"sensitivity {offset * 100:+g} % set by otto" in one.text for one in told)
    assert calibrated(line)[1] == thresholds, "what was signed stays"
    assert [one.offset for one in load_changes(recipe.folder)] == [0.0, 0.05, 0.05, 0.0, -0.05, -0.05]


def test_regions_are_found_at_the_moved_pixel_threshold(line: Line, made_engine: MadeEngine) -> None:
    _, thresholds = calibrated(line)

    def act(_call: int, frame_map: Floats, _scores: Floats) -> None:
        frame_map[10:40, 10:40] = 0.97 * thresholds.pixel_threshold

    made_engine.act = act
    assert reasons(verdicts_of(inspect_all(line, parts=1))) == [""]
    set_sensitivity(recipe_of(line), Bound.of(line), 0.05, "otto", "", nobody)
    (verdict,) = verdicts_of(inspect_all(line, parts=1))
    assert (verdict.reason, len(verdict.regions)) == ("defect", 1)


def test_a_running_line_takes_a_change_over_at_once_and_publishes_it(line: Line, made_engine: MadeEngine) -> None:
    _, thresholds = calibrated(line)
    made_engine.act = at(0.97, thresholds)
    heard: list[Alarm] = []
    subscriber = listen(line)

    def hear(count: int) -> bool:
        message = subscriber.receive(0.1)
        heard.extend([message] if isinstance(message, Alarm) and message.kind == "sensitivity" else [])
        return len(heard) >= count

    try:
        with running(line) as one:
            wait_for(lambda: subscriber.receive(0.2), "the line to be heard")
            done = run(line, "+5%", "--by", "otto", "--note", "batch 7")
            assert done.exit_code == 0, done.output
            assert "line 3 has taken it over" in done.output
            assert FEWER_PROMISED in " ".join(done.output.split())
            wait_for(lambda: hear(1), "the alarm")
            wait_for(lambda: verdicts_of(list(one.events))[-1].reason == "defect", "rejects")
            assert run(line, "--reset", "--by", "anna").exit_code == 0
            wait_for(lambda: hear(2), "its end")
            seen = len(verdicts_of(list(one.events)))
            wait_for(lambda: len(verdicts_of(list(one.events))) > seen + 10, "more parts")
            assert verdicts_of(list(one.events))[-1].reason == ""
    finally:
        subscriber.close()
    assert [alarm.severity for alarm in heard] == ["warning", "info"]
    assert heard[0].text.startswith("sensitivity +5 % set by otto at ")
    assert heard[0].text.endswith(f"(batch 7): {FEWER_PROMISED}")
    verdicts = verdicts_of(list(one.events))
    assert [verdict.seq for verdict in verdicts] == list(range(1, len(verdicts) + 1))
    limits = {verdict.threshold for verdict in verdicts}
    assert limits == {thresholds.score_threshold, thresholds.score_threshold * 0.95}
    measured = [verdict for verdict in verdicts if verdict.score is not None]  # an overrun while it loads says nothing here
    told = {(verdict.reason, verdict.threshold == thresholds.score_threshold) for verdict in measured}
    assert told == {("", True), ("defect", False)}


def test_a_line_that_runs_another_recipe_is_left_alone(line: Line, made_engine: MadeEngine, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "recipe", tmp_path / "other", copy_function=os.link)
    with running(line) as one:
        line.file.write_text(line.file.read_text().replace("../recipe", "../other"))
        changed = load_line(line.name, line.file.parent)
        done = run(changed, "+5%")
        assert isinstance(done.exception, EngineError)
        assert "goes on as it was, and nothing was written: it runs" in str(done.exception)
        assert one.recipe_name == "recipe"
    assert load_changes(tmp_path / "other") == ()


@pytest.mark.parametrize(("before", "kept"), [(None, []), ("good", [0.1]), ("damaged", None)])
def test_a_line_that_refuses_leaves_everything_as_it_was(line: Line, before: str | None, kept: list[float] | None) -> None:
    recipe, _ = calibrated(line)
    file = recipe.folder / FILE
    if before == "good":
        set_sensitivity(recipe_of(line), Bound.of(line), 0.1, "otto", "", nobody)
    elif before == "damaged":
        file.write_text("{")
    content = file.read_bytes() if file.exists() else None
    files = {one.name for one in recipe.folder.iterdir()}
    with pytest.raises(EngineError, match="goes on as it was, and nothing was written: no memory"):
        set_sensitivity(recipe_of(line), Bound.of(line), 0.0, "otto", "", lambda _: RecipeAnswer("failed", "no memory"))
    assert (file.read_bytes() if file.exists() else None) == content
    assert {one.name for one in recipe.folder.iterdir()} == files
    if kept is not None:
        assert [one.offset for one in load_changes(recipe.folder)] == kept
    outcome = set_sensitivity(
        recipe_of(line), Bound.of(line), 0.0, "otto", "", lambda _: RecipeAnswer("loading", "still loading; see its log")
    )
    assert outcome == "written, but still loading; see its log"


def test_a_damaged_file_is_refused_and_a_reset_mends_it(line: Line, made_engine: MadeEngine) -> None:
    recipe, _ = calibrated(line)
    file, good = recipe.folder / FILE, msgspec.structs.asdict(change())
    entries = [good | {"offset": 0.3}, good | {"offset": None}, good | {"unknown": 1}, {"offset": 0.1}]
    for content in (
        b"",
        b"\xff",
        b"{}",
        b'{"changes": []}',
        *(msgspec.json.encode({"changes": [one]}) for one in entries),
        b"{",
    ):
        file.write_bytes(content)
        with pytest.raises(RecipeError, match=r"sensitivity\.json: the sensitivity cannot be read"):
            load_changes(recipe.folder)
    for refused in (
        lambda: loaded_recipe(line),
        lambda: set_sensitivity(recipe_of(line), Bound.of(line), 0.05, "otto", "", nobody),
    ):
        with pytest.raises(RecipeError, match=r"sensitivity\.json: .*: inspect sensitivity --line LINE --reset"):
            refused()
    assert file.read_bytes() == b"{"
    assert doctors(line).outcome == "failed"
    set_sensitivity(recipe_of(line), Bound.of(line), 0.0, "anna", "", nobody)
    assert [(one.offset, one.by) for one in load_changes(recipe.folder)] == [(0.0, "anna")]
    assert (recipe.folder / "sensitivity.damaged-1.json").read_bytes() == b"{", "kept aside"


def test_a_new_calibration_ends_it_and_that_is_said(line: Line, made_engine: MadeEngine) -> None:
    recipe, thresholds = calibrated(line)
    set_sensitivity(recipe_of(line), Bound.of(line), -0.1, "otto", "batch 7", nobody)
    assert doctors(line).outcome == "warning"
    assert LESS_FOUND in " ".join(run(line).output.split())
    save_thresholds(recipe.folder, msgspec.structs.replace(thresholds, version=thresholds.version + 1))
    with closing(loaded_recipe(line)) as loaded:
        assert loaded.sensitivity.offset == 0.0
        assert loaded.decider.score_threshold == thresholds.score_threshold
        told: list[str] = []
        tell(loaded.sensitivity, Sensitivity(), lambda severity, text, kind="": told.append(f"{severity} {kind} {text}"))
    (only,) = told
    assert only.startswith("info sensitivity as calibrated: sensitivity -10 % set by otto")
    assert only.endswith("(batch 7) was for other thresholds, and has ended with them")
    assert doctors(line).outcome == "ok"
    assert "has ended with a calibration since" in doctors(line).text
    assert "not in force any more" in run(line).output


def test_the_quality_engineer_may_narrow_it(line: Line, made_engine: MadeEngine) -> None:
    set_sensitivity(recipe_of(line), Bound.of(line), 0.1, "otto", "", nobody)
    line.file.write_text(line.file.read_text().replace("deadline_ms", "max_sensitivity = 0.05\ndeadline_ms"))
    narrowed = load_line(line.name, line.file.parent)
    with pytest.raises(ConfigError, match=r"max_sensitivity = 0\.05 allows -5 % to \+5 %, and not sensitivity \+10 %"):
        loaded_recipe(narrowed)
    with pytest.raises(ConfigError, match="or end it: inspect sensitivity --line 3 --reset"):
        set_sensitivity(recipe_of(narrowed), Bound.of(narrowed), -0.051, "otto", "", nobody)
    set_sensitivity(recipe_of(narrowed), Bound.of(narrowed), -0.05, "otto", "", nobody)
    with closing(loaded_recipe(narrowed)) as loaded:
        assert loaded.sensitivity.offset == -0.05


def test_the_command_shows_what_holds_and_its_history(line: Line) -> None:
    _, thresholds = calibrated(line)
    done = run(line, "-2.5%", "--by", "anna")
    assert done.exit_code == 0, done.output
    assert "line 3 does not run; it will start with this" in done.output
    set_sensitivity(recipe_of(line), Bound.of(line), 0.2, "otto", "[batch 7]", nobody)
    shown = run(line).output
    assert "line 3: sensitivity +20 %" in shown
    assert f"{thresholds.score_threshold * 0.8:.6g}" in shown
    rows = [text for text in shown.splitlines() if "version 1" in text and "│" in text]
    assert ["+20 %" in rows[0], "[batch 7]" in rows[0], "-2.5 %" in rows[1], "anna" in rows[1]] == [True] * 4


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["5%"], r"5%: give a sensitivity such as \+5% \(rejects more\) or -5%"),
        (["+5", "--reset"], r"\+5 and --reset: give one of them"),
        (["+21%"], r"\+21%: at most -20 % to \+20 %; beyond that, calibrate the thresholds again"),
        (["-21%"], r"-21%: at most"),
        (["+nan%"], r"\+nan%: give a sensitivity"),
        (["--sensitive"], r"--sensitive: give a sensitivity"),
    ],
)
def test_bad_input_is_refused(line: Line, words: list[str], complaint: str) -> None:
    done = run(line, *words)
    assert isinstance(done.exception, ConfigError), done.output
    with pytest.raises(ConfigError, match=complaint):
        raise done.exception
    assert not ((line.file.parent / "../recipe") / FILE).exists()


def test_without_changes_there_is_no_file(recipe: Recipe, tmp_path: Path) -> None:
    shutil.copytree(recipe.folder, tmp_path / "recipe", copy_function=os.link)
    copied = load_recipe(tmp_path / "recipe")
    save_changes(copied.folder, (change(),))
    assert load_changes(copied.folder) == (change(),)
    save_changes(copied.folder, ())
    assert not (copied.folder / FILE).exists()
    assert load_changes(copied.folder) == ()
