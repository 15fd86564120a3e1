"""A new camera or PLC is one new file and one line in one table: each is made up here, and put to work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from appliance.capture import Frame
from appliance.capture.supervised import SupervisedCamera
from appliance.checks.doctor import examine
from appliance.config.camera import CAMERAS, CameraConfig
from appliance.config.line import need_plc
from appliance.config.plc import PLCS
from appliance.plc.image import LineBlock, PlcBlock
from appliance.plc.sim import make_side
from engines.common.errors import ConfigError
from engines.recipe.bundle import Recipe
from tests.appliance.conftest import (
    MadeEngine,
    MakeLine,
    assert_counted,
    camera_of,
    inspect_all,
    plc_of,
    unexpected,
    verdicts_of,
)

CAMERA = """
    from typing import Annotated

    import msgspec

    from appliance.capture import EndOfFrames, Frame
    from appliance.config.camera import AnyCameraConfig


    class Config(
        AnyCameraConfig, msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="twilight", kw_only=True
    ):
        parts: Annotated[int, msgspec.Meta(ge=1)]


    class Twilight:
        simulated, patient, channels, state = True, True, None, "here"

        def __init__(self, config, frame_size):
            self._parts, self._size, self._number = config.parts, frame_size, 0

        def open(self):
            pass

        def grab(self, timeout_s):
            import time

            import numpy as np

            if self._number == self._parts:
                raise EndOfFrames
            self._number += 1
            width, height = self._size
            return [Frame(self._number, time.monotonic_ns(), 0, np.full((height, width, 3), self._number, np.uint8))]

        def stop(self):
            return []

        def close(self):
            pass


    def connect(config, file, frame_size, deadline_ms):
        return Twilight(config, frame_size)
"""
PLC = """
    from pathlib import Path

    from appliance.config.plc import PlcConfig
    from appliance.plc import BytePlc, PlcError
    from appliance.plc.sim import ByteSide


    class Config(PlcConfig, frozen=True, forbid_unknown_fields=True, tag="letterbox", kw_only=True):
        folder: Path
        answers_by = "lid"

        @property
        def where(self):
            return str(self.folder)


    class Letterbox:
        def __init__(self, ours, theirs):
            self._ours, self._theirs = ours, theirs

        def connect(self):
            if not self._ours.parent.is_dir():
                raise PlcError(f"{self._ours.parent} is not there")

        def exchange(self, ours):
            self._ours.write_bytes(ours)
            return self._theirs.read_bytes() if self._theirs.exists() else bytes(16)

        def close(self):
            pass


    def make(config, line, file):
        return BytePlc(Letterbox(config.folder / "line", config.folder / "plc"))


    def make_side(config, file):
        return ByteSide(Letterbox(config.folder / "plc", config.folder / "line"))
"""
WriteModule = Callable[[str, str], None]


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteModule:
    """A function that writes one new file, which can then be imported."""

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(dedent(text), encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


@pytest.fixture
def twilight(write_module: WriteModule, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The table of a camera of a new kind."""
    write_module("twilight_camera", CAMERA)
    monkeypatch.setitem(CAMERAS, "twilight", "twilight_camera")
    return {"kind": "twilight", "parts": 3}


@pytest.fixture
def letterbox(write_module: WriteModule, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The table of a PLC of a new kind; its folder is beside that of the lines."""
    write_module("letterbox_plc", PLC)
    monkeypatch.setitem(PLCS, "letterbox", "letterbox_plc")
    return {"kind": "letterbox", "folder": "../box"}


def test_a_new_kind_of_camera_is_read_and_gives_frames(make_line: MakeLine, twilight: dict[str, object]) -> None:
    camera = camera_of(make_line(camera=twilight), (8, 6))
    camera.open()
    frames: list[Frame] = [frame for _ in range(3) for frame in camera.grab(0.1)]
    assert [(frame.number, np.shape(frame.image)) for frame in frames] == [(1, (6, 8, 3)), (2, (6, 8, 3)), (3, (6, 8, 3))]


def test_mistakes_in_a_new_kinds_table_are_told_as_all_are(make_line: MakeLine, twilight: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"3\.toml: camera\.parts: expected `int` >= 1; correct the value$"):
        make_line(camera=twilight | {"parts": 0})
    with pytest.raises(ConfigError, match=r"3\.toml: camera\.dawn: unknown key; correct its spelling or remove it$"):
        make_line(camera=twilight | {"dawn": 1})
    with pytest.raises(ConfigError, match=r"3\.toml: camera\.kind: invalid value 'still'; choose one of aravis, .*, twilight$"):
        make_line(camera={"kind": "still"})


def test_a_line_with_a_new_kind_of_camera_gives_verdicts(
    make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine, twilight: dict[str, object]
) -> None:
    verdicts = verdicts_of(inspect_all(make_line(recipe=recipe.folder, camera=twilight)))
    assert_counted(verdicts, 3)
    assert made_engine.calls >= 3


def test_a_new_kind_with_a_driver_works_in_a_process_of_its_own(
    make_line: MakeLine, write_module: WriteModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which this process only knows the kind and its table; the line is added in both."""
    driven = CAMERA.replace("AnyCameraConfig, msgspec.Struct,", "CameraConfig,").replace("AnyCameraConfig", "CameraConfig")
    write_module("twilight_camera", driven)
    line_in_the_table = 'CAMERAS["twilight"] = "twilight_camera"'
    write_module("sitecustomize", f"from appliance.config.camera import CAMERAS\n{line_in_the_table}\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setitem(CAMERAS, "twilight", "twilight_camera")
    config = make_line(camera={"kind": "twilight", "parts": 100}).config.camera
    assert isinstance(config, CameraConfig)
    camera = SupervisedCamera(config, tmp_path / "3.toml", 500, 3, unexpected, wait_for_it=False)
    camera.frame_size = (8, 6)
    try:
        camera.open()
        frames: list[Frame] = []
        while len(frames) < 3:
            frames += camera.grab(1.0)
        assert [(frame.number, int(np.max(frame.image))) for frame in frames[:3]] == [(1, 1), (2, 2), (3, 3)]
    finally:
        camera.close()


def test_a_new_kind_of_plc_and_its_simulation_exchange_blocks(
    make_line: MakeLine, tmp_path: Path, letterbox: dict[str, object]
) -> None:
    (tmp_path / "box").mkdir()
    line = make_line(plc=letterbox)
    plc, side = plc_of(line), make_side(need_plc(line), line.file)
    plc.connect()
    side.connect()
    shown, answered = LineBlock(heartbeat=7, state=2, valid=1, epoch=9, newest=4, seen=5), PlcBlock(3, 9, 4, 6)
    assert plc.exchange(shown) == PlcBlock()
    assert side.exchange(answered) == shown
    assert plc.exchange(shown) == answered
    plc.close()
    side.close()


def test_the_doctor_examines_a_new_kind_of_plc(make_line: MakeLine, tmp_path: Path, letterbox: dict[str, object]) -> None:
    def found() -> tuple[str, str]:
        (finding,) = [one for one in examine(make_line(plc=letterbox)) if one.check == "plc"]
        return finding.outcome, finding.text

    where = tmp_path / "box"
    assert found() == ("failed", f"{where} is not there; check its address, its cable, and that its lid is on")
    where.mkdir()
    assert found() == ("ok", f"{where} answers")
