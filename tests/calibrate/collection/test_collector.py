"""Golden samples from a camera: what is taken is what the camera gave, and what is refused is told."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
import zmq
from rich.console import Console

from appliance.capture import CameraError, CameraLostError, Frame
from appliance.capture.owner import owned
from appliance.config.line import Line, load_line
from appliance.messages.orders import orders_address, take_orders
from calibrate.cli.collect import collect
from calibrate.collection.collect_view import CollectView
from calibrate.collection.collector import Collection, recipe_size
from calibrate.collection.picture_checks import Refusal
from engines.common.errors import ConfigError, ImageError
from engines.pictures.geometry import Pixels
from engines.pictures.images import list_images, png_bytes, read_image
from engines.recipe.bundle import Recipe
from tests.appliance.conftest import emulated, save_noise

pytestmark = pytest.mark.slow
SIDE = 64


def write_line(folder: Path, golden: str | None = "../golden", recipe: str = "../recipe", **camera: object) -> Line:
    """A line's file whose recipe is still to be made."""
    (folder / "lines").mkdir(exist_ok=True)
    features = camera.pop("features", {})
    assert isinstance(features, dict)
    text = f"recipe = {json.dumps(recipe)}\n" + (f"golden = {json.dumps(golden)}\n" if golden else "") + "[camera]\n"
    text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in camera.items())
    text += "[camera.features]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in features.items())
    text = text.removesuffix("[camera.features]\n")
    # Each test's own address: tests may run side by side.
    text += f'[publish]\nverdicts = "ipc://{folder}/verdicts"\nsnapshot = "ipc://{folder}/snapshot"\n'
    (folder / "lines" / "3.toml").write_text(text)
    return load_line("3", folder / "lines")


def run(folder: Path, count: int, **options: bool) -> int:
    """`calibrate collect --line 3`; returns its exit status."""
    try:
        collect(line="3", count=count, golden=None, config_dir=folder / "lines", **{"keep_all": False} | options)
    except typer.Exit as end:
        return end.exit_code
    return 0


def save(folder: Path, pictures: list[Pixels]) -> None:
    folder.mkdir(exist_ok=True)
    for i, picture in enumerate(pictures):
        (folder / f"{i:03d}.png").write_bytes(png_bytes(picture))


def frame_of(image: Pixels | None, fault: str | None = None) -> Frame:
    return Frame(1, time.monotonic_ns(), 0, image, fault)


@pytest.mark.parametrize("trigger", ["software", "free"])
def test_an_emulated_cameras_pictures_are_written_pixel_for_pixel(
    tmp_path: Path, trigger: str, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = save_noise(tmp_path / "parts", 4, SIDE)
    features = emulated(tmp_path / "parts", SIDE)
    write_line(tmp_path, kind="pylon", serial="0815-0000", trigger=trigger, rate=100, features=features)
    assert run(tmp_path, 4) == 0
    files = list_images(tmp_path / "golden")
    assert len(files) == 4
    for file, expected in zip(files, saved, strict=True):  # in name order: that of capture
        np.testing.assert_array_equal(read_image(file), expected)
    told = capsys.readouterr().out
    assert "4 golden samples were taken into" in told
    assert "these are no pictures of real parts" in told
    assert (tmp_path / "golden-contact-sheet-1.png").is_file()


def test_pictures_that_nobody_triggered_are_not_taken(tmp_path: Path) -> None:
    save_noise(tmp_path / "parts", 4, SIDE)
    features = emulated(tmp_path / "parts", SIDE) | {"TriggerMode": "Off"}
    write_line(tmp_path, kind="pylon", serial="0815-0000", trigger="hardware", features=features)
    with pytest.raises(CameraError, match=r"camera\.features\.TriggerMode: 'Off' is against camera\.trigger = \"hardware\""):
        run(tmp_path, 4)
    assert not list((tmp_path / "golden").rglob("*.png"))


def test_a_second_collection_adds_and_knows_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = save_noise(tmp_path / "parts", 6, SIDE, grey=True)
    write_line(tmp_path, kind="replay", source=str(tmp_path / "parts"), rate=0)
    assert run(tmp_path, 4) == 0
    first = {file.name: file.read_bytes() for file in list_images(tmp_path / "golden")}
    assert len(first) == 4
    assert run(tmp_path, 2) == 0
    assert "refused: duplicate 4" in capsys.readouterr().out, "the replay begins anew"
    files = list_images(tmp_path / "golden")
    assert len(files) == 6
    assert all((tmp_path / "golden" / name).read_bytes() == content for name, content in first.items())
    np.testing.assert_array_equal(read_image(files[-1]), saved[5])
    assert read_image(files[0]).ndim == 2, "grey stays grey"


def test_bad_pictures_are_refused_with_their_reason(
    tmp_path: Path, golden_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [read_image(file)[128:384, 128:384] for file in list_images(golden_folder)[:12]]
    draw = np.random.default_rng(3)
    again = np.clip(good[2] + draw.normal(0, 3, good[2].shape), 0, 255).astype(np.uint8)
    bad = [cv2.GaussianBlur(good[3], (0, 0), 1.5), (good[4] * 0.8).astype(np.uint8), good[1], again, np.full_like(good[0], 90)]
    save(tmp_path / "parts", [*good, *bad])
    (tmp_path / "parts" / "999.png").write_bytes(b"no picture")
    write_line(tmp_path, kind="replay", source=str(tmp_path / "parts"), rate=0)
    assert run(tmp_path, 13) == 1
    told = capsys.readouterr().out
    print(told)
    assert "the replay is over: 12 of 13 golden samples were taken" in told
    assert "refused: blurred 1, exposure 2, duplicate 2, no-picture 1" in told
    assert "frame 13 refused, blurred: sharpness 0." in told
    assert re.search(r"frame 14 refused, exposure: mean 0\.\d\d of the median, not 0\.\d\d to 1\.\d\d", told)
    assert "frame 15 refused, duplicate: pixel for pixel the same as 3-" in told
    assert "frame 16 refused, duplicate: no more than noise apart from 3-" in told
    assert "frame 17 refused, exposure: nothing to be seen: all of it is of one grey, 90" in told
    assert "frame 18 refused, no-picture: " in told
    assert len(list_images(tmp_path / "golden")) == 12
    assert run(tmp_path, 4, keep_all=True) == 0
    told = capsys.readouterr().out
    assert "frame 1 kept all the same, duplicate: " in told
    assert len(list_images(tmp_path / "golden")) == 16


def test_ctrl_c_keeps_what_was_taken_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_noise(tmp_path / "parts", 3, SIDE)
    write_line(tmp_path, kind="replay", source=str(tmp_path / "parts"), rate=50, loop=True)

    def interrupt() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until and len(list((tmp_path / "golden").glob("3-*.png"))) < 3:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    presses = threading.Thread(target=interrupt)
    presses.start()
    status = run(tmp_path, 100)
    presses.join()
    assert status == 1
    assert "stopped: 3 of 100 golden samples were taken; they are kept in" in capsys.readouterr().out
    assert len(list_images(tmp_path / "golden")) == 3
    assert (tmp_path / "golden-contact-sheet-1.png").is_file()


def test_a_line_and_a_collection_exclude_each_other(tmp_path: Path) -> None:
    line = write_line(tmp_path, kind="replay", source=".")
    whose = line.name, line.config.publish, line.file
    with zmq.Context() as context:
        with owned(*whose), pytest.raises(ConfigError, match="line 3 is running already"):
            take_orders(context, *whose)
        with context.socket(zmq.ROUTER) as running:
            running.bind(orders_address(line.name, line.config.publish))
            with pytest.raises(CameraError, match="line 3 is running, or another command has its camera"), owned(*whose):
                pass


@pytest.mark.parametrize("side", [SIDE, 600])
def test_pictures_of_another_size_than_the_recipes_are_refused_at_once(tmp_path: Path, recipe: Recipe, side: int) -> None:
    save_noise(tmp_path / "parts", 1, side)
    camera = {"kind": "pylon", "serial": "0815-0000", "trigger": "free", "features": emulated(tmp_path / "parts", side)}
    line = write_line(tmp_path, recipe=str(recipe.folder), **camera)
    assert recipe_size(line.config.recipe) == (512, 512)
    with pytest.raises(ImageError, match=f"gives {side} x {side} pixels, the line's recipe was made for 512 x 512: set Width"):
        run(tmp_path, 2)
    assert not (tmp_path / "golden").exists()


def test_a_size_that_changes_on_the_way_is_refused(tmp_path: Path) -> None:
    collection = Collection(tmp_path / "golden", "3", 3, keep_all=False, size=None)
    large, small = save_noise(tmp_path / "a", 1, 40)[0], save_noise(tmp_path / "b", 1, 32)[0]
    collection.take(frame_of(large))
    refused = collection.take(frame_of(small))
    assert isinstance(refused, Refusal)
    assert refused == ("size", "32 x 32 pixels, not 40 x 40 as the others")
    again = Collection(tmp_path / "golden", "3", 3, keep_all=False, size=None)
    again.read_present(lambda _done, _all: None, pytest.fail)
    with pytest.raises(ImageError, match=r"the pictures in .*golden have 40 x 40"):
        again.take(frame_of(small))


def test_one_moment_gives_two_names(tmp_path: Path) -> None:
    collection = Collection(tmp_path / "golden", "3", 2, keep_all=False, size=None)
    for picture in save_noise(tmp_path / "parts", 2, SIDE):
        collection.take(Frame(1, 10**9, 0, picture))
    assert len({sample.name for sample in collection.taken}) == 2
    assert len(list_images(tmp_path / "golden")) == 2


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    collection = Collection(tmp_path / "golden", "3", 2, keep_all=False, size=None)
    (picture,) = save_noise(tmp_path / "parts", 1, SIDE)
    with largest_file(1000), pytest.raises(ImageError, match=r"cannot be written .*run the same command again"):
        collection.take(frame_of(picture))
    assert not list((tmp_path / "golden").iterdir())
    assert not collection.taken


def test_the_folder_and_the_camera_must_be_there(tmp_path: Path) -> None:
    write_line(tmp_path, golden=None, kind="replay", source="nowhere")
    with pytest.raises(ConfigError, match="no folder is named; add golden = "):
        run(tmp_path, 1)
    write_line(tmp_path, kind="replay", source="nowhere")
    with pytest.raises(CameraError, match="nowhere: no such folder"):
        run(tmp_path, 1)
    write_line(tmp_path, kind="pylon", serial="4711")
    with pytest.raises(CameraLostError, match="serial 4711: not found"):
        run(tmp_path, 1)
    assert not (tmp_path / "golden").exists()


def test_the_live_table_tells_what_happens(tmp_path: Path) -> None:
    collection = Collection(tmp_path / "golden", "3", 12, keep_all=False, size=None)
    shown = io.StringIO()
    view = CollectView(Console(file=shown, force_terminal=True, width=160), "3", "hardware", collection)
    console = Console(file=io.StringIO(), width=160)
    console.print(view)
    with view.shown():
        for picture in save_noise(tmp_path / "parts", 11, SIDE):
            view.take(collection.take(frame_of(picture)))
        view.take(collection.take(frame_of(None, "the frame counter skipped it")))
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "none yet (hardware trigger)" in text
    assert "11 of 12" in text
    assert "no-picture 1" in text
    assert re.search(r"1\.\d\d of median, 1\.\d% dark, 1\.\d% bright", text)
    assert "frame 12 refused, no-picture: the frame counter skipped it" in text
    assert "Ctrl-C stops" in shown.getvalue()


def test_a_reason_that_goes_on_is_told_less_and_less_with_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    view = CollectView(Console(width=200), "3", "free", Collection(tmp_path, "3", 1, keep_all=False, size=None))
    for _ in range(250):
        view.take(Refusal("duplicate", "again"))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("frame")][9:] == [
        f"frame {number} refused, duplicate: again" for number in (10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 200)
    ]
    assert lines[10].startswith("10 in a row: the same part is seen again")
