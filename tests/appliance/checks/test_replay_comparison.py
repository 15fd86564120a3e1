"""Looking back at archived parts: their pictures, and their frames through a recipe again."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from appliance.checks.replay_comparison import CONDITIONS, Archived, Replayed, Tally, differences, find_archived, replay
from appliance.cli.replay_report import ReplayReport
from appliance.config.line import Line, need_archive, need_journal
from appliance.messages.schema import Region, TemplateMatch, Verdict
from appliance.records.archive_files import entry
from appliance.records.journal import Query
from appliance.records.part_picture import part_picture
from engines.common.errors import ConfigError
from engines.pictures.geometry import Pixels
from engines.pictures.images import read_image
from engines.proof.admission import engine_folder, read_record
from engines.proof.build import save_record
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.thresholds import load_thresholds, save_thresholds
from tests.appliance.conftest import MakeLine, inspect_all, loaded_recipe, make_verdict, reasons, verdicts_of
from tests.engines.made_thresholds import consistent

Command = Callable[..., subprocess.CompletedProcess[str]]
RECORDS = {"journal": {"file": "journal.db"}, "archive": {"folder": "frames", "passes": 1, "free_gb": 0}}


def find(line: Line, query: Query = Query(), limit: int | None = None) -> list[Archived]:  # noqa: B008 - it is frozen
    """What `inspect replay` finds."""
    return find_archived(line.name, need_archive(line).folder, need_journal(line), query, limit)


def picture_of(line: Line, part: int, epoch: int | None = None) -> tuple[Verdict, Pixels]:
    """What `inspect show` shows."""
    return part_picture(line.name, need_archive(line), need_journal(line), line.config.recipe, part, epoch)


OPENVINO = {"target": "openvino", "precision": "float32"}


@pytest.fixture
def recorded(make_line: MakeLine, built: Recipe, roomy_archive: None) -> Callable[..., Line]:
    """A function that makes the line's file, with journal and archive."""
    return lambda **tables: make_line(recipe=built.folder, engine=OPENVINO, **(RECORDS | tables))


def options(line: Line) -> tuple[object, ...]:
    return "--line", line.name, "--config-dir", line.file.parent


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(one) for one in done.stdout.splitlines()]


def test_a_replay_of_the_same_recipe_gives_every_bit_again(command: Command, recorded: Callable[..., Line]) -> None:
    line = recorded()
    verdicts = verdicts_of(inspect_all(line))
    assert len(verdicts) == 12
    parts = find(line)
    assert [part.verdict for part in parts] == verdicts, "oldest first"
    assert [part.verdict for part in find(line, Query(rejects=True), 3)] == [
        verdict for verdict in verdicts if verdict.verdict == "reject"
    ][-3:], "of a limit the newest"
    done = command("inspect", "replay", *options(line))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 compared, 12 the same, 0 pass -> reject, 0 reject -> pass; largest difference of scores 0;" in done.stdout
    ignored = re.search("ignored: (.*);", done.stdout)
    assert ignored is not None
    fields = set(ignored[1].split(", "))
    assert fields >= {"time", "captured", "decided", "deadline", "stages", "seq"}
    assert not fields & {"verdict", "reason", "score", "regions", "template", "recipe", "engine", "threshold"}


def test_a_changed_threshold_gives_the_flips_and_exit_status_1(
    tmp_path: Path, in_process: Command, recorded: Callable[..., Line], built: Recipe
) -> None:
    line = recorded()
    verdicts = verdicts_of(inspect_all(line))
    lenient = tmp_path / "lenient"
    shutil.copytree(built.folder, lenient)
    thresholds = load_thresholds(load_recipe(lenient))
    assert thresholds is not None
    lenient_ones = consistent(msgspec.structs.replace(thresholds, score_threshold=1e6, pixel_threshold=1e6))
    save_thresholds(lenient, lenient_ones)
    engine = engine_folder(load_recipe(lenient), "openvino", "float32")
    record = read_record(engine)
    assert record.parity is not None
    proven = msgspec.structs.replace(record.parity, thresholds_digest=lenient_ones.digest)
    save_record(engine, msgspec.structs.replace(record, parity=proven))
    flipped = [verdict.part_id for verdict in verdicts if verdict.verdict == "reject"]
    assert flipped
    done = in_process("inspect", "replay", *options(line), "--recipe", lenient, "--json")
    assert done.returncode == 1, done.stderr
    *found, summary = objects(done)
    assert [one["part_id"] for one in found] == flipped
    for one in found:
        assert (one["event"], one["differs"]) == ("difference", ["verdict", "reason"])
        assert (one["was"]["verdict"], one["now"]["verdict"]) == ("reject", "pass")
        assert one["was"]["score"] == one["now"]["score"]
        assert (one["was"]["threshold"], one["now"]["threshold"]) == (thresholds.score_threshold, 1e6)
    assert (summary["compared"], summary["same"], summary["reject_to_pass"]) == (12, 12 - len(flipped), len(flipped))
    assert (summary["pass_to_reject"], summary["other_conditions"]) == (0, {"threshold": 12})


def test_the_report_for_people_names_each_part_that_differs() -> None:
    shown = io.StringIO()
    report = ReplayReport(Console(file=shown), as_json=False)
    passed = msgspec.structs.replace(WAS, verdict="pass", reason="", threshold=0.9)
    late = msgspec.structs.replace(WAS, part_id=7, reason="late", score=None)
    report.take(Replayed(WAS, passed, differences(WAS, passed), by_circumstances=False))
    report.take(Replayed(late, passed, (), by_circumstances=True))
    report.take(Replayed(WAS, WAS, (), by_circumstances=False))
    report.close()
    unmeasured, different, rest = re.split("not measured then, so not compared|differences|ignored: ", shown.getvalue())[1:]
    assert re.search(r"7 .* reject late .* pass .* - .* 0\.75 ", unmeasured)
    assert re.search(r"1 .* reject defect .* pass .* 0\.75 .* 0\.75 .* 0\.5 .* 0\.9 .* verdict, reason", different)
    assert "other than in the journal: threshold of 1 parts" in rest
    assert "2 compared, 1 the same, 0 pass -> reject, 1 reject -> pass; largest difference of scores 0; 1 not compared" in rest


def test_what_was_not_measured_is_told_apart_and_a_damaged_frame_is_a_difference(
    tmp_path: Path, recorded: Callable[..., Line]
) -> None:
    line = recorded(decision={"deadline_ms": 1})
    late = verdicts_of(inspect_all(line, parts=3))
    assert set(reasons(late)) <= {"late", "overrun"}
    line = recorded()
    measured = verdicts_of(inspect_all(line, parts=3))
    stem = entry((line.file.parent / "frames"), measured[1])
    frame = stem.with_name(f"{stem.name}.png")
    frame.write_bytes(frame.read_bytes()[:3_000])
    with closing(loaded_recipe(line)) as loaded:
        found = list(replay(loaded, find(line)))
    assert [(part.was.seq, part.by_circumstances) for part in found] == [(seq, True) for seq in (1, 2, 3)] + [
        (seq, False) for seq in (1, 2, 3)
    ]
    assert all(part.now.score is not None and part.now.reason in ("", "defect") for part in found[:3])
    assert [part.differs for part in found[3:]][::2] == [(), ()]
    assert {"reason", "score"} <= set(found[4].differs)
    assert (found[4].now.verdict, found[4].now.reason) == ("reject", "no-image")
    tally = Tally()
    for part in found:
        tally.take(part)
    assert (tally.compared, tally.same, tally.by_circumstances) == (3, 2, 3)


def test_show_writes_the_parts_picture_or_says_why_there_is_none(
    tmp_path: Path, command: Command, in_process: Command, recorded: Callable[..., Line]
) -> None:
    line = recorded(archive={"folder": "frames", "passes": 0, "free_gb": 0})
    for _ in range(2):
        verdicts = verdicts_of(inspect_all(line, parts=7))
    by_verdict = {verdict.verdict: verdict for verdict in verdicts}
    assert len(by_verdict) == 2, "the rendered parts are good and bad"
    reject, good = by_verdict["reject"], by_verdict["pass"]
    done = command("inspect", "show", *options(line), reject.part_id, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told, file = done.stdout.splitlines()
    assert f"part {reject.part_id:>6}  reject defect" in told
    assert file == f"part-{reject.part_id}.png"
    assert reject.decided[11:23] in told, "of two starts of the line the newer one's part"
    assert read_image(tmp_path / file).shape[1] == 3 * 512, "part, map and template"
    stem = entry((line.file.parent / "frames"), reject)
    stem.with_name(f"{stem.name}.png").unlink()
    for part, epoch, complaint in (
        (
            reject.part_id,
            None,
            f"part {reject.part_id}: reject, no picture: {stem}.png is not there: removed since by the quota",
        ),
        (8, None, f"part 8: not in {line.file.parent / 'journal.db'}"),
        (1, 5, "part 1 of epoch 5: not in"),
        (good.part_id, None, f"part {good.part_id}: pass, no picture: archive.passes = 0 of passes are kept"),
    ):
        with pytest.raises(ConfigError, match=re.escape(complaint)):
            picture_of(line, part, epoch)
    done = in_process("inspect", "show", *options(line), 1, "--output", "part.jpg")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --output part.jpg: pictures are written as PNG; give a name that ends in .png\n"


@pytest.mark.parametrize("look", [lambda line: picture_of(line, 1, None), lambda line: find(line)])
@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        ({}, r"3\.toml: archive: no frames are kept; add \[archive\] with folder ="),
        ({"archive": {"folder": "frames"}}, r"3\.toml: journal: none is kept; add \[journal\]"),
        (RECORDS, r"journal\.db: no journal there"),
    ],
)
def test_without_archive_or_journal_there_is_nothing_to_look_at(
    make_line: MakeLine, look: Callable[[Line], object], records: dict[str, dict[str, Any]], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        look(make_line(**records))


REGION = Region(10, 20, 30, 40, 900.0, 0.7)
WAS = make_verdict(1, verdict="reject", reason="defect", score=0.75, regions=(REGION,), template=TemplateMatch(0, "a.png", 0.9))


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"time": "later", "stages": {"total": 9.0}, "detail": "x", "camera_time": 7}, ()),
        ({"score": 0.75 * (1 + 5e-6)}, ()),
        ({"score": 0.7501}, ("score",)),
        ({"score": None}, ("score",)),
        ({"verdict": "pass", "reason": ""}, ("verdict", "reason")),
        ({"reason": "engine-fault"}, ("reason",)),
        ({"template": TemplateMatch(1, "b.png", 0.9)}, ("template",)),
        ({"template": None}, ("template",)),
        ({"regions": ()}, ("regions",)),
        ({"regions": (msgspec.structs.replace(REGION, x=11),)}, ("regions",)),
        ({"regions": (msgspec.structs.replace(REGION, peak=0.8),)}, ("regions",)),
        ({"threshold": 0.4, "regions": ()}, ()),
        ({"threshold": 0.4, "score": 0.76}, ("score",)),
        ({"recipe": "1" * 64, "score": 0.76, "regions": (), "template": None}, ()),
        ({"engine": "another", "score": 0.4, "verdict": "pass", "reason": ""}, ("verdict", "reason")),
    ],
)
def test_what_counts_as_a_difference(changes: dict[str, Any], differs: tuple[str, ...]) -> None:
    now: Verdict = msgspec.structs.replace(WAS, **changes)
    assert differences(WAS, now) == differs
    assert set(CONDITIONS) <= set(Verdict.__struct_fields__)
