"""The archive: what the engine saw, kept losslessly under a quota; beside the line, and never a reason to stop."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from appliance.config.records import ArchiveConfig
from appliance.line.running_line import RunningLine
from appliance.messages.notices import Notice
from appliance.messages.schema import Verdict
from appliance.records.archive import PLACES, PLACES_OF_REJECTS, Archive, sampled
from appliance.records.archive_files import encode, entry, read_map
from engines.common.errors import ImageError
from engines.pictures.images import read_image
from engines.recipe.bundle import Recipe
from tests.appliance.conftest import (
    Floats,
    MadeEngine,
    MakeLine,
    inspect_all,
    make_verdict,
    save_noise,
    unexpected,
    verdicts_of,
    wait_for,
)

REGION = (0, 0, 64, 64)
ALL = ArchiveConfig(folder=Path(), passes=1, free_gb=0)


def a_verdict(seq: int, reject: bool = True, day: str = "2026-11-22", epoch: int = 1) -> Verdict:
    kind = {"verdict": "reject", "reason": "defect"} if reject else {}
    return make_verdict(seq, epoch, decided=f"{day}T06:00:00.000000+00:00", **kind)


def archived(folder: Path, config: ArchiveConfig, verdicts: list[Verdict], side: int = 64) -> None:
    """Have frames of noise archived, one after the other, as a line does after a start."""
    rng = np.random.default_rng(1)
    archive = Archive(replace(config, folder=folder), "3", unexpected)
    wait_for(lambda: archive._stock.total == ours(folder), "what is there to be counted")
    for verdict in verdicts:
        image = rng.integers(0, 256, (side, side, 3), np.uint8)
        wait_for(lambda: len(archive._free) == PLACES, "room")
        archive.offer(verdict, image, np.zeros((16, 16), np.float32), REGION)
    archive.close()
    assert archive.left_out == 0


def ours(folder: Path) -> int:
    """Bytes of line 3's files."""
    return sum(file.stat().st_size for file in folder.rglob("3-*-*-*.*") if file.suffix in (".png", ".npz"))


def names(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("grey", [True, False])
def test_a_frame_and_its_map_come_back_byte_for_byte(tmp_path: Path, grey: bool) -> None:
    image = save_noise(tmp_path / "frames", 1, side=50, grey=grey)[0]
    image = np.asfortranarray(image)  # as a driver may lay it out
    frame_map = np.random.default_rng(2).normal(size=(32, 48)).astype(np.float32)
    archive = Archive(replace(ALL, folder=tmp_path / "not" / "there"), "3", unexpected)
    archive.offer(a_verdict(7), image, frame_map, (5, 6, 40, 41))
    archive.close()
    folder = tmp_path / "not" / "there"
    name = "2026-11-22/3-1-00000007-defect"
    assert names(folder) == [f"{name}.npz", f"{name}.png"]
    found = read_image(folder / f"{name}.png")
    assert found.shape == image.shape
    assert found.tobytes() == image.tobytes()
    measured = read_map(folder / name)
    assert measured is not None
    assert measured[0].tobytes() == frame_map.tobytes()
    assert measured[1] == (5, 6, 40, 41)


@pytest.mark.parametrize("grey", [True, False])
def test_frames_that_come_fast_are_written_unpacked_and_as_losslessly(tmp_path: Path, grey: bool) -> None:
    part = np.asarray(cv2.GaussianBlur(save_noise(tmp_path / "frames", 1, 512, grey)[0], (9, 9), 0), np.uint8)
    files = {packed: encode(part, None, REGION, packed) for packed in (True, False)}
    assert len(files[True][".png"]) < 0.8 * part.nbytes < len(files[False][".png"])
    archive = Archive(replace(ALL, folder=tmp_path), "3", unexpected)
    for seq in (1, 2, 3):
        archive.offer(a_verdict(seq), part, None, REGION)
    archive.close()
    stems = [entry(tmp_path, a_verdict(seq)) for seq in (1, 2, 3)]
    written = [stem.with_name(f"{stem.name}.png") for stem in stems]
    assert [file.read_bytes() == files[True][".png"] for file in written] == [True, False, False]
    assert [file.read_bytes() == files[False][".png"] for file in written] == [False, True, True]
    for file in written:
        assert read_image(file).tobytes() == part.tobytes()
        assert np.asarray(cv2.imread(str(file), cv2.IMREAD_UNCHANGED)).shape == part.shape, "another reader takes it, too"


@pytest.mark.usefixtures("roomy_archive")
def test_a_line_archives_its_rejects_and_a_sample_of_its_passes_as_the_engine_saw_them(
    tmp_path: Path, make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine, parts_folder: Path
) -> None:
    def act(call: int, frame_map: Floats, scores: Floats) -> None:
        frame_map.fill(call)
        scores.fill(call * 1e6 if call % 3 == 0 else 0)
        if call % 3:
            frame_map.fill(0)

    made_engine.act = act
    archive = {"folder": "../frames", "passes": 0.5, "free_gb": 0}
    verdicts = verdicts_of(inspect_all(make_line(recipe=recipe.folder, archive=archive)))
    folder = tmp_path / "frames"
    wanted = [one for one in verdicts if one.verdict == "reject" or sampled(one.epoch, one.seq, 0.5)]
    assert len([one for one in wanted if one.verdict == "reject"]) == 4
    stems = [entry(folder, one) for one in wanted]
    assert names(folder) == sorted(f"{stem.relative_to(folder)}{suffix}" for stem in stems for suffix in (".npz", ".png"))
    for verdict, stem in zip(wanted, stems, strict=True):
        assert verdict.source is not None
        camera_frame = read_image(parts_folder / verdict.source)
        assert (read_image(stem.with_name(f"{stem.name}.png")) == camera_frame).all()
        measured = read_map(stem)
        assert measured is not None
        assert (measured[0] == (verdict.seq if verdict.verdict == "reject" else 0)).all()


def test_the_sample_is_the_asked_share_the_same_each_time_and_without_a_rhythm() -> None:
    chosen = [seq for seq in range(1, 20_001) if sampled(1_700_000_000_000, seq, 0.1)]
    assert 1_800 < len(chosen) < 2_200
    assert chosen == [seq for seq in range(1, 20_001) if sampled(1_700_000_000_000, seq, 0.1)]
    for nests in (2, 8, 10):
        share = np.bincount(np.array(chosen) % nests, minlength=nests) / len(chosen)
        assert share.min() > 0.7 / nests, "each nest of a machine has its share"
    assert not any(sampled(1, seq, 0.0) for seq in range(1_000))
    assert all(sampled(1, seq, 1.0) for seq in range(1_000))


def test_over_the_quota_the_oldest_passes_go_first_and_rejects_last(tmp_path: Path) -> None:
    stranger, other_line = (tmp_path / "2026-11-20" / name for name in ("3-1-1-notes.txt", "33-1-00000001-pass.png"))
    stranger.parent.mkdir()
    for file in (stranger, other_line):
        file.write_bytes(b"x" * 100_000)
    for day, epoch in ((20, 1), (21, 2)):
        archived(tmp_path, ALL, [a_verdict(seq, seq % 2 == 0, f"2026-11-{day}", epoch) for seq in range(1, 5)])
    size = ours(tmp_path) / 8

    def left(entries: float, newest: Verdict) -> list[tuple[int, int, int]]:
        """Day, epoch and seq of what is left when one more reject comes and there is room for so many entries."""
        archived(tmp_path, msgspec.structs.replace(ALL, quota_gb=entries * size / 1e9), [newest])
        assert ours(tmp_path) <= entries * size
        stems = [Path(name).stem.split("-") for name in names(tmp_path) if "/3-" in name and name.endswith(".png")]
        days = [int(name[8:10]) for name in names(tmp_path) if "/3-" in name and name.endswith(".png")]
        return [(day, int(stem[1]), int(stem[2])) for day, stem in zip(days, stems, strict=True)]

    second_day = [(21, 2, 1), (21, 2, 2), (21, 2, 3), (21, 2, 4)]
    assert left(8.5, a_verdict(1, epoch=3)) == [(20, 1, 2), (20, 1, 3), (20, 1, 4), *second_day, (22, 3, 1)]
    assert left(5.5, a_verdict(1, epoch=4)) == [(20, 1, 4), (21, 2, 2), (21, 2, 4), (22, 3, 1), (22, 4, 1)]
    assert left(1.5, a_verdict(1, epoch=5)) == [(22, 5, 1)]
    assert sorted(day.name for day in tmp_path.iterdir()) == ["2026-11-20", "2026-11-22"], "an empty day goes, too"
    assert stranger.exists()
    assert other_line.exists()


def test_what_a_kill_left_half_written_goes_at_the_next_start(tmp_path: Path) -> None:
    half, others = (tmp_path / "2026-11-20" / f".{line}-1-00000001-defect.png" for line in ("3", "4"))
    half.parent.mkdir()
    half.write_bytes(b"half")
    others.write_bytes(b"half")
    archived(tmp_path, ALL, [a_verdict(1, epoch=2)])
    wait_for(lambda: not half.exists(), "the removal")
    assert others.exists()


def test_frames_beyond_the_places_are_left_out_and_told_and_rejects_have_places_of_their_own(tmp_path: Path) -> None:
    told: list[tuple[str, str, str]] = []
    archive = Archive(replace(ALL, folder=tmp_path), "3", lambda *notice: told.append(notice))  # type: ignore[arg-type]
    hold = threading.Event()
    archive._write = lambda _: hold.wait(20)  # type: ignore[assignment,method-assign]
    image = np.zeros((64, 64), np.uint8)
    try:
        for seq in range(1, PLACES + 1):
            archive.offer(a_verdict(seq, reject=False), image, None, REGION)
        assert archive.left_out == PLACES_OF_REJECTS
        for seq in range(PLACES + 1, 2 * PLACES + 1):
            archive.offer(a_verdict(seq), image, None, REGION)
        assert archive.left_out == PLACES
    finally:
        hold.set()
        archive.close()
    (notice,) = told
    assert (notice[0], notice[2]) == ("warning", "archive-full")
    assert notice[1].startswith("frames are not archived: frames come faster than they can be written")


@pytest.mark.parametrize("place", ["a file is there", "/proc/self"])
def test_a_folder_that_cannot_be_written_is_told_once_and_inspection_goes_on(
    tmp_path: Path, make_line: MakeLine, recipe: Recipe, parts_folder: Path, made_engine: MadeEngine, place: str
) -> None:
    if not place.startswith("/"):
        (tmp_path / "lines").mkdir()
        (tmp_path / "lines" / place).write_text("in the way")
    camera = {"kind": "replay", "source": str(parts_folder), "rate": 20, "loop": True}
    running = RunningLine(make_line(recipe=recipe.folder, camera=camera, archive={"folder": place, "passes": 1}))

    def told() -> list[Notice]:
        return [event for event in list(running.events) if isinstance(event, Notice)]

    try:
        running.start()
        wait_for(told, "the alarm")
        so_far = len(verdicts_of(list(running.events)))
        wait_for(lambda: len(verdicts_of(list(running.events))) > so_far + 3, "verdicts after the alarm")
    finally:
        running.close()
    (notice,) = told()
    assert (notice.severity, notice.kind) == ("warning", "archive-full")
    assert notice.text.startswith("frames are not archived: ")
    assert {verdict.reason for verdict in verdicts_of(list(running.events))} <= {"", "stopping"}


def test_an_alarm_is_over_after_a_time_without_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    (tmp_path / "frames").write_text("in the way")
    archive = Archive(
        replace(ALL, folder=tmp_path / "frames"), "3", lambda severity, text, kind="": told.append(f"{severity} {kind} {text}")
    )

    def offer(seq: int) -> None:
        archive.offer(a_verdict(seq), np.zeros((64, 64), np.uint8), None, REGION)
        wait_for(lambda: len(archive._free) == PLACES, "the attempt")

    offer(1)
    (tmp_path / "frames").unlink()
    offer(2)
    assert len(told) == 1, "it works again, but may not for long"
    monkeypatch.setattr("appliance.records.archive.ARCHIVE_CALM_S", 0.0)
    offer(3)
    archive.close()
    assert told[0].startswith("warning archive-full frames are not archived: File exists")
    assert told[1:] == ["info archive-full frames are archived again; 1 were left out since the start"]


def test_a_damaged_map_is_refused_by_name(tmp_path: Path) -> None:
    archived(tmp_path, ALL, [a_verdict(1)])
    stem = entry(tmp_path, a_verdict(1))
    file = stem.with_name(f"{stem.name}.npz")
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ImageError, match=r"3-1-00000001-defect\.npz: damaged map"):
        read_map(stem)
