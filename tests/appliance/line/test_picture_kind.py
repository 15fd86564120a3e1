"""Grey or colour: a line takes the kind of picture that its recipe was made from, and names the camera's other kind."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from appliance.checks.doctor import Finding, examine
from appliance.config.line import Line
from appliance.line.change_over import ChangeOver
from appliance.line.picture_kind import need_kind
from appliance.line.pipeline import Pipeline
from appliance.line.running_line import RunningLine
from engines.common.errors import ConfigError
from engines.pictures.geometry import Geometry
from engines.pictures.picture_kind import Channels
from engines.recipe.thresholds import save_thresholds
from tests.appliance.conftest import (
    MadeEngine,
    MakeLine,
    emulated,
    inspect_all,
    loaded_recipe,
    make_thresholds,
    save_noise,
    verdicts_of,
)
from tests.engines.made_recipe import made_recipe
from tests.engines.made_thresholds import consistent

SIDE = 512
GEOMETRY = Geometry((SIDE, SIDE), (0, 0, SIDE, SIDE))
COLOUR = (
    "is in colour, the recipe was made from pictures without colour: set camera.features.PixelFormat to a format such as Mono8"
)
GREY = "is grey, the recipe was made from pictures in colour: set camera.features.PixelFormat to a format such as RGB8"


def _recipe(folder: Path, channels: Channels | None) -> None:
    """One that takes every part, and records this kind."""
    recipe = made_recipe(folder, msgspec.structs.replace(GEOMETRY, channels=channels))
    save_thresholds(recipe.folder, consistent(make_thresholds(recipe.digest)))


def _line(make_line: MakeLine, tmp_path: Path, recipe: Channels | None, grey: bool) -> Line:
    """A line that replays two pictures."""
    _recipe(tmp_path / "recipe", recipe)
    save_noise(tmp_path / "noise", 2, SIDE, grey=grey)
    return make_line(camera={"kind": "replay", "source": str(tmp_path / "noise"), "rate": 0})


def _camera_finding(line: Line) -> Finding:
    return {finding.check: finding for finding in examine(line)}["camera"]


@pytest.mark.parametrize("recipe", [None, 1, 3])
@pytest.mark.parametrize("camera", [None, 1, 3])
def test_a_camera_of_the_other_kind_is_refused_by_file_and_key(camera: int | None, recipe: Channels | None) -> None:
    geometry = msgspec.structs.replace(GEOMETRY, channels=recipe)
    if {camera, recipe} != {1, 3}:
        need_kind(camera, geometry, Path("lines/3.toml"))
        return
    with pytest.raises(
        ConfigError, match=r"^lines/3\.toml: camera\.features\.PixelFormat: the camera's pictures are"
    ) as caught:
        need_kind(camera, geometry, Path("lines/3.toml"))
    assert f"set it to a format such as {'Mono8' if recipe == 1 else 'RGB8'}, or fit a new recipe" in str(caught.value)


@pytest.mark.parametrize(("recipe", "grey", "told"), [(1, False, COLOUR), (3, True, GREY)])
def test_pictures_of_the_other_kind_are_no_image_rejects(
    make_line: MakeLine, made_engine: MadeEngine, tmp_path: Path, recipe: Channels, grey: bool, told: str
) -> None:
    verdicts = verdicts_of(inspect_all(_line(make_line, tmp_path, recipe, grey)))
    assert [(one.verdict, one.reason) for one in verdicts] == [("reject", "no-image")] * 2
    assert all(told in one.detail for one in verdicts)
    assert made_engine.calls == 0


@pytest.mark.parametrize(("recipe", "grey"), [(1, True), (3, False), (None, True), (None, False)])
def test_pictures_of_its_kind_are_measured(
    make_line: MakeLine, made_engine: MadeEngine, tmp_path: Path, recipe: Channels | None, grey: bool
) -> None:
    verdicts = verdicts_of(inspect_all(_line(make_line, tmp_path, recipe, grey)))
    assert [(one.verdict, one.reason) for one in verdicts] == [("pass", "")] * 2
    assert made_engine.calls == 2


def test_a_line_does_not_start_with_a_camera_of_the_other_kind(
    make_line: MakeLine, made_engine: MadeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.checks.doctor.load_engine", lambda *_: made_engine)
    _recipe(tmp_path / "recipe", 3)
    save_noise(tmp_path / "noise", 2, SIDE, grey=True)
    features = emulated(tmp_path / "noise", SIDE, PixelFormat="Mono8")
    line = make_line(camera={"kind": "pylon", "serial": "0815-0000", "trigger": "software", "features": features})
    told = f"{line.file}: camera.features.PixelFormat: the camera's pictures are grey, and the recipe was made from pictures in"
    with pytest.raises(ConfigError, match=f"^{told} colour: set it to a format such as RGB8"):
        RunningLine(line, None)
    finding = _camera_finding(line)
    assert finding.outcome == "failed"
    assert finding.text.startswith(told)


def test_doctor_looks_at_a_replays_pictures(
    make_line: MakeLine, made_engine: MadeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.checks.doctor.load_engine", lambda *_: made_engine)
    finding = _camera_finding(_line(make_line, tmp_path, 3, grey=True))
    assert finding.outcome == "failed"
    assert "the camera's pictures are grey" in finding.text


@pytest.mark.parametrize(("recipe", "outcome"), [(None, "warning"), (1, "ok"), (3, "ok")])
def test_doctor_warns_of_a_recipe_without_the_record(
    make_line: MakeLine, tmp_path: Path, recipe: Channels | None, outcome: str
) -> None:
    finding = {one.check: one for one in examine(_line(make_line, tmp_path, recipe, grey=recipe != 3))}["recipe"]
    assert finding.outcome == outcome
    mend = f"whether its pictures are grey or in colour: fit it again with: calibrate fit --recipe {tmp_path}/"
    assert (mend in finding.text) == (recipe is None)


def test_a_change_over_to_the_other_kind_is_refused_and_the_line_goes_on(
    make_line: MakeLine, made_engine: MadeEngine, tmp_path: Path
) -> None:
    line = _line(make_line, tmp_path, 1, grey=True)
    _recipe(tmp_path / "other", 3)
    loaded, other = loaded_recipe(line), loaded_recipe(make_line(name="4", recipe=tmp_path / "other"))
    pipeline = Pipeline(loaded)
    change = ChangeOver.__new__(ChangeOver)  # without its socket and thread
    change._pipeline, change._load = pipeline, lambda _folder: other
    try:
        with pytest.raises(ConfigError, match=r"other: made from pictures in colour, this line's are not; stop the line"):
            change._load_and_change(tmp_path / "other")
        assert pipeline.station is loaded
    finally:
        pipeline.close()
        loaded.close()
