"""The replay: pictures of a folder or a video, in order, at their rate; a damaged one is a frame, not a gap."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from appliance.capture import Camera, CameraError, EndOfFrames, Frame
from tests.appliance.conftest import MakeLine, camera_of, save_noise

SIDE = 64


def replay(make_line: MakeLine, source: Path, rate: float = 0, **settings: object) -> Camera:
    table = {"kind": "replay", "source": str(source), "rate": rate} | settings
    camera = camera_of(make_line(camera=table), (SIDE, SIDE))
    camera.open()
    return camera


def play(camera: Camera) -> list[Frame]:
    """Every frame to the end."""
    frames: list[Frame] = []
    while True:
        try:
            frames += camera.grab(1.0)
        except EndOfFrames:
            return frames


def test_plays_a_folder_and_its_subfolders_in_path_order(tmp_path: Path, make_line: MakeLine) -> None:
    saved = {name: save_noise(tmp_path / name, 2) for name in ("b", "a")}
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    frames = play(replay(make_line, tmp_path))
    assert [frame.source for frame in frames] == ["a/000.png", "a/001.png", "b/000.png", "b/001.png"]
    assert [frame.number for frame in frames] == [1, 2, 3, 4]
    for frame, expected in zip(frames, [*saved["a"], *saved["b"]], strict=True):
        np.testing.assert_array_equal(frame.image, expected)


def test_a_relative_source_starts_at_the_line_file(tmp_path: Path, make_line: MakeLine) -> None:
    save_noise(tmp_path / "parts", 1)
    assert len(play(replay(make_line, Path("../parts")))) == 1


def test_a_damaged_file_is_a_frame_without_picture(tmp_path: Path, make_line: MakeLine) -> None:
    save_noise(tmp_path / "parts", 3)
    (tmp_path / "parts" / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    frames = play(replay(make_line, tmp_path / "parts"))
    assert [frame.image is None for frame in frames] == [False, True, False]
    assert "001.png" in str(frames[1].fault)
    assert [frame.number for frame in frames] == [1, 2, 3]


def test_a_loop_starts_over(tmp_path: Path, make_line: MakeLine) -> None:
    save_noise(tmp_path / "parts", 2)
    camera = replay(make_line, tmp_path / "parts", loop=True)
    frames = [camera.grab(1.0)[0] for _ in range(5)]
    assert [frame.source for frame in frames] == ["000.png", "001.png", "000.png", "001.png", "000.png"]
    assert [frame.number for frame in frames] == [1, 2, 3, 4, 5]


def test_the_rate_is_kept_and_a_frame_that_is_not_due_is_waited_for(tmp_path: Path, make_line: MakeLine) -> None:
    save_noise(tmp_path / "parts", 4)
    begun_ns = time.monotonic_ns()
    frames = play(replay(make_line, tmp_path / "parts", rate=20))
    assert frames[-1].captured_ns - begun_ns >= 3 * 50e6
    slow = replay(make_line, tmp_path / "parts", rate=0.1)
    assert len(slow.grab(1.0)) == 1
    assert slow.grab(0.001) == [], "the second is not due yet"


def test_a_line_that_lags_gets_the_due_frames_at_once(
    tmp_path: Path, make_line: MakeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_noise(tmp_path / "parts", 3)
    camera = replay(make_line, tmp_path / "parts", rate=1)
    monkeypatch.setattr(camera, "_due", camera._due - 10)  # type: ignore[attr-defined]
    frames = [camera.grab(0)[0] for _ in range(3)]
    assert [frame.number for frame in frames] == [1, 2, 3]


@pytest.mark.parametrize("resize", [False, True])
def test_pictures_keep_their_size_unless_asked_to_fit(tmp_path: Path, make_line: MakeLine, resize: bool) -> None:
    save_noise(tmp_path / "parts", 1, side=100)
    (frame,) = play(replay(make_line, tmp_path / "parts", resize=resize))
    assert frame.image is not None
    assert frame.image.shape == ((SIDE, SIDE, 3) if resize else (100, 100, 3))


def save_video(file: Path, colours: list[tuple[int, int, int]]) -> None:
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 10, (SIDE, SIDE))
    assert writer.isOpened()
    for colour in colours:
        writer.write(np.full((SIDE, SIDE, 3), colour[::-1], np.uint8))
    writer.release()


def test_plays_a_video_in_rgb(tmp_path: Path, make_line: MakeLine) -> None:
    colours = [(220, 30, 30), (30, 220, 30), (30, 30, 220)]
    save_video(tmp_path / "parts.avi", colours)
    frames = play(replay(make_line, tmp_path / "parts.avi"))
    assert [frame.source for frame in frames] == ["parts.avi#0", "parts.avi#1", "parts.avi#2"]
    for frame, colour in zip(frames, colours, strict=True):
        assert frame.image is not None
        np.testing.assert_allclose(frame.image.reshape(-1, 3).mean(axis=0), colour, atol=12)


def test_a_video_loops(tmp_path: Path, make_line: MakeLine) -> None:
    save_video(tmp_path / "parts.avi", [(10, 10, 10), (200, 200, 200)])
    camera = replay(make_line, tmp_path / "parts.avi", loop=True)
    assert [camera.grab(1.0)[0].source for _ in range(3)] == ["parts.avi#0", "parts.avi#1", "parts.avi#0"]
    camera.close()


def test_sources_that_cannot_be_played_are_named(tmp_path: Path, make_line: MakeLine) -> None:
    with pytest.raises(CameraError, match=r"gone: no such folder or video file; correct camera\.source"):
        replay(make_line, tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CameraError, match="empty: no picture to replay"):
        replay(make_line, tmp_path / "empty")
    (tmp_path / "text.avi").write_text("this is no video")
    with pytest.raises(CameraError, match=r"text\.avi: no frame can be read"):
        replay(make_line, tmp_path / "text.avi").grab(1.0)


def test_opening_again_starts_from_the_beginning_and_counts_on(tmp_path: Path, make_line: MakeLine) -> None:
    save_noise(tmp_path / "parts", 2)
    camera = replay(make_line, tmp_path / "parts")
    camera.grab(1.0)
    camera.close()
    camera.close()
    camera.open()
    assert [(frame.number, frame.source) for frame in play(camera)] == [(2, "000.png"), (3, "001.png")]
    assert camera.stop() == []
