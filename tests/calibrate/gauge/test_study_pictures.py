"""A gauge study taken and read for real: rendered parts in folders, and a camera before which each part is placed anew."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from appliance.capture import CameraState, Frame
from calibrate.cli.main import app
from calibrate.gauge.study import Study
from calibrate.gauge.study_pictures import Gauge, read_takes, read_truth
from calibrate.gauge.study_session import Plan, _picture
from calibrate.thresholds.scorer import Scorer
from engines.common.errors import ConfigError, ImageError, RecipeError, UserError
from engines.judgement import judge
from engines.pictures.geometry import Pixels
from engines.pictures.images import png_bytes, read_image
from engines.recipe.bundle import Recipe, load_recipe
from engines.recipe.thresholds import FILE
from tests.appliance.conftest import emulated
from tests.virtual_line.product import render

PARTS, REPEATS = 4, 2
BAD = (1, 3)
REFERENCE = '[engine]\ntarget = "torch"\n'  # it needs no build


def _placed_anew(image: Pixels, rng: np.random.Generator) -> tuple[Pixels, float]:
    """The same part once more: shifted, lit a little otherwise, with the sensor's noise; and its shift to the right."""
    x, y = rng.normal(0, 2, 2)
    moved = cv2.warpAffine(image, np.array([[1, 0, x], [0, 1, y]], np.float32), (512, 512), borderMode=cv2.BORDER_REFLECT)
    lit = moved * rng.normal(1, 0.02) + rng.normal(0, 2, moved.shape)
    return np.clip(lit, 0, 255).astype(np.uint8), float(x)


@pytest.fixture(scope="module")
def pictures() -> dict[tuple[int, int], tuple[Pixels, float]]:
    """Part and repeat: picture, and where the part lay."""
    rng = np.random.default_rng(9)
    rendered = [render(900 + i).image for i in range(PARTS)]
    for i in BAD:  # a defect that the few steps of the test's recipe see, too
        rendered[i][150:350, 150:350] = 255
    return {(i, k): _placed_anew(rendered[i], rng) for i in range(PARTS) for k in range(REPEATS)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pictures: dict[tuple[int, int], tuple[Pixels, float]]) -> Path:
    """A study's folder; the truth of two parts is in their names, that of the others in truth.csv. Read-only: copy it."""
    place = tmp_path_factory.mktemp("study")
    for i, k in ((i, k) for i in range(PARTS) for k in range(REPEATS)):
        file = place / ("part-1-good", "part-2-bad", "part-3", "part-4")[i] / f"{k}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(png_bytes(pictures[i, k][0]))
    (place / "truth.csv").write_text("part,truth\npart-3,good\n\npart-4, bad\n")
    return place


@pytest.fixture(scope="module")
def gauge(recipe: Recipe) -> Iterator[Gauge]:
    with Gauge(recipe, "torch", "float32") as gauge:
        yield gauge


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "study"))


def _run(*words: object, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["study", *map(str, words)], input=typed)


def _refused(result: Result, kind: type[UserError], text: str) -> None:
    assert isinstance(result.exception, kind), result.exception
    assert text in str(result.exception)


def test_takes_are_measured_and_judged_as_the_line_does(
    gauge: Gauge, folder: Path, pictures: dict[tuple[int, int], tuple[Pixels, float]]
) -> None:
    told: list[tuple[int, int]] = []
    takes = read_takes(gauge, folder, False, lambda done, total: told.append((done, total)))
    assert gauge.engine == "torch float32"
    assert told == [(i, 8) for i in range(1, 9)]
    assert [(take.part, take.name) for take in takes[:3]] == [
        ("part-1-good", "0.png"),
        ("part-1-good", "1.png"),
        ("part-2-bad", "0.png"),
    ]
    thresholds = gauge.thresholds
    with Scorer(gauge.recipe, "torch", "float32") as scorer:
        for i in range(PARTS):
            take = takes[i * REPEATS + 1]
            measured = scorer.measure(pictures[i, 1][0])
            assert take.score == measured.scores[["std", "max", "top-k mean"].index(thresholds.score)]
            assert take.passed == (judge(measured, thresholds).margin() <= 1)
    for i in range(PARTS):
        shifts = np.array([pictures[i, k][1] for k in range(REPEATS)])
        seen = np.array([take.look.x for take in takes[i * REPEATS : (i + 1) * REPEATS]])
        assert seen == pytest.approx(shifts - shifts[0], abs=0.5)
    assert {take.passed for take in takes if take.part in ("part-2-bad", "part-4")} == {False}


def test_the_command_reads_folders_and_writes_table_form_and_json(recipe: Recipe, folder: Path, tmp_path: Path) -> None:
    files = "--json", tmp_path / "study.json", "--form", tmp_path / "study.html"
    words = "--recipe", recipe.folder, "--folder", folder, "--target", "torch"
    done = _run(*words, *files, "--by", "Q. Engineer")
    assert done.exception is None, done.exception
    for told in ("EV (repeatability)", "%GRR of tolerance", "ndc", "kappa over repeats", "kappa against the truth", "AIAG"):
        assert told in done.stdout
    study = msgspec.json.decode((tmp_path / "study.json").read_bytes(), type=Study)
    assert (study.parts_count, study.repeats, len(study.takes)) == (PARTS, REPEATS, PARTS * REPEATS)
    assert [part.truth for part in study.parts] == ["good", "bad", "good", "bad"]
    assert study.header.recipe_digest == recipe.digest
    assert study.header.created_by == "Q. Engineer"
    assert study.score.grr > 0
    page = (tmp_path / "study.html").read_text()
    assert recipe.digest in page
    assert "Q. Engineer" in page


def test_appraisers_are_folders_in_the_parts_folders(gauge: Gauge, own: Path) -> None:
    for part in (place for place in own.iterdir() if place.is_dir()):
        for shift in ("early", "late"):
            (part / shift).mkdir()
            for k in range(2):
                picture = read_image(part / f"{k}.png")
                picture[0, 0] = 200 if shift == "late" else 100
                (part / shift / f"{k}.png").write_bytes(png_bytes(picture))
        for file in part.glob("*.png"):
            file.unlink()
    with pytest.raises(ImageError, match=r"part-1-good: holds folders; .* say so with --appraisers"):
        read_takes(gauge, own, False, lambda _done, _total: None)
    for part in ("part-2-bad", "part-4"):
        shutil.rmtree(own / part)
    takes = read_takes(gauge, own, True, lambda _done, _total: None)
    assert [take.appraiser for take in takes[:4]] == ["early", "early", "late", "late"]
    (own / "part-3" / "late").rename(own / "part-3" / "night")
    with pytest.raises(ImageError, match="part-3: appraisers early, night, other parts have early, late"):
        read_takes(gauge, own, True, lambda _done, _total: None)


def test_folders_that_make_no_study_are_refused(gauge: Gauge, own: Path, tmp_path: Path) -> None:
    def read(place: Path) -> None:
        read_takes(gauge, place, False, lambda _done, _total: None)

    with pytest.raises(ImageError, match="absent: no such folder"):
        read(tmp_path / "absent")
    with pytest.raises(ImageError, match="0 folders of parts there; a study needs 2"):
        read(own / "part-3")
    second = own / "part-1-good" / "1.png"
    shutil.copy(own / "part-1-good" / "0.png", second)
    with pytest.raises(ImageError, match=r"part-1-good/1\.png: the same picture as part-1-good/0\.png, bit by bit"):
        read(own)
    second.write_bytes(png_bytes(read_image(second)[..., 0].copy()))
    with pytest.raises(ImageError, match=r"part-1-good/1\.png: the picture is grey, the recipe was made from pictures in col"):
        read(own)
    second.write_bytes(png_bytes(np.zeros((256, 512, 3), np.uint8)))
    with pytest.raises(ImageError, match=r"part-1-good/1\.png: 512 x 256 pixels, the recipe is for frames of 512 x 512"):
        read(own)
    second.unlink()
    with pytest.raises(ImageError, match=r"part-1-good has 1 pictures, part-2-bad has 2; .* same number"):
        read(own)
    for part in (place for place in own.iterdir() if place.is_dir()):
        for file in sorted(part.iterdir())[1:]:
            file.unlink()
    with pytest.raises(ImageError, match="1 pictures; a study needs 2 repeats"):
        read(own)


def test_without_thresholds_there_is_nothing_to_study(recipe: Recipe, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(recipe.folder, tmp_path / "bare"))
    (bare / FILE).unlink()
    with pytest.raises(RecipeError, match=r"has no thresholds, .* calibrate thresholds --recipe"):
        Gauge(load_recipe(bare), "torch", "float32")


def test_the_truth_is_read_from_names_and_file(tmp_path: Path) -> None:
    parts = ["1-good", "bad 2", "goodyear", "4", "5.BAD"]
    assert read_truth(None, parts) == {"1-good": "good", "bad 2": "bad", "5.BAD": "bad"}
    file = tmp_path / "truth.csv"
    file.write_text("4,Good\n1-good,bad\n")
    assert read_truth(file, parts) == {"1-good": "bad", "bad 2": "bad", "5.BAD": "bad", "4": "good"}
    for text, named in (
        ("4,fine\n", "line 1: '4,fine': write a part"),
        ("part,truth\n7,good\n", "line 2: the study has no part '7'"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=named):
            read_truth(file, parts)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_truth(tmp_path / "absent.csv", parts)


def test_mistakes_are_told_before_anything_is_taken(recipe: Recipe, folder: Path, tmp_path: Path) -> None:
    form = "--form", tmp_path / "form.html"
    _refused(_run("--recipe", recipe.folder, *form), ConfigError, "which camera? give --line 3; or --folder DIR")
    _refused(
        _run("--recipe", recipe.folder, "--folder", folder, "--repeats", 5, *form),
        ConfigError,
        "--parts, --repeats and --keep are for taking",
    )
    _refused(
        _run("--recipe", recipe.folder, "--folder", folder, "--form", tmp_path / "absent" / "form.html"),
        ConfigError,
        "there is no folder",
    )
    assert not list(tmp_path.iterdir())


@pytest.fixture
def line(tmp_path: Path, recipe: Recipe, pictures: dict[tuple[int, int], tuple[Pixels, float]]) -> Path:
    """The folder of a line's file whose emulated camera sees two parts in turn, twice, and one of them once too often."""
    (tmp_path / "seen").mkdir()
    seen = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)]  # the third is no part of the study: it is taken again
    for number, one in enumerate(seen):
        (tmp_path / "seen" / f"{number}.png").write_bytes(png_bytes(pictures[one][0]))
    features = "\n".join(f"{name} = {json.dumps(value)}" for name, value in emulated(tmp_path / "seen").items())
    (tmp_path / "3.toml").write_text(
        f'recipe = "{recipe.folder}"\n[camera]\nkind = "pylon"\nserial = "0815-0000"\ntrigger = "software"\nrate = 1000\n'
        f"[camera.features]\n{features}\n{REFERENCE}"
    )
    return tmp_path


def test_a_person_is_guided_and_the_frames_kept_make_the_same_study(line: Path) -> None:
    words = ["--line", 3, "--config-dir", line, "--parts", 2, "--repeats", 2, "--keep", line / "kept"]
    (line / "truth.csv").write_text("part-01,good\npart-02,bad\n")
    files = ["--form", line / "form.html", "--json", line / "first.json"]
    done = _run(*words, *files, "--truth", line / "truth.csv", typed="\n\n\nr\n\n\n")
    assert done.exception is None, done.exception
    assert "part 1 of 2, take 1 of 2: place it and press Enter" in done.stdout
    assert "part 2 of 2, take 2 of 2: place it anew and press Enter" in done.stdout
    assert done.stdout.count("part 1 of 2, take 2 of 2") == 2, "it was repeated"
    taken = {"part-01": (0, 3), "part-02": (1, 4)}
    for part, numbers in taken.items():
        for k, number in enumerate(numbers):
            kept = read_image(line / "kept" / part / f"take-{k + 1:02d}.png")
            np.testing.assert_array_equal(kept, read_image(line / "seen" / f"{number}.png"))
    first = msgspec.json.decode((line / "first.json").read_bytes(), type=Study)
    assert first.header.simulated
    assert [part.truth for part in first.parts] == ["good", "bad"]

    files = ["--form", line / "form.html", "--json", line / "again.json"]
    done = _run("--line", 3, "--config-dir", line, "--folder", line / "kept", *files)
    assert done.exception is None, done.exception
    again = msgspec.json.decode((line / "again.json").read_bytes(), type=Study)
    assert again.score == first.score
    assert again.parts == first.parts
    assert [(take.score, take.passed) for take in again.takes] == [(take.score, take.passed) for take in first.takes]
    with pytest.raises(ConfigError, match="holds a whole study; read it with --folder"):
        Plan(2, 2, line / "kept").prepare(None)
    with pytest.raises(ConfigError, match=r"holds other pictures \(take-02\.png\)"):
        Plan(2, 1, line / "kept").prepare(None)


def test_an_interrupted_study_goes_on_where_it_was(line: Path) -> None:
    words = ["--line", 3, "--config-dir", line, "--parts", 2, "--repeats", 2, "--keep", line / "kept"]
    words += ["--form", line / "form.html"]
    done = _run(*words, typed="\n\n\n")
    _refused(done, ConfigError, "nobody is there to press Enter")
    assert f"3 of 4 takes are kept in {line / 'kept'}" in done.stdout.replace("\n", "")
    for number in (0, 1, 2):  # the emulated camera begins anew with its first picture
        (line / "seen" / f"{number}.png").unlink()
    done = _run(*words, typed="\n")
    assert done.exception is None, done.exception
    assert "3 of 4 takes are in" in done.stdout
    assert done.stdout.count("press Enter") == 1
    assert (line / "form.html").exists()


def test_a_camera_that_repeats_itself_is_found_out(line: Path) -> None:
    for file in sorted((line / "seen").iterdir())[1:]:
        file.unlink()
    done = _run("--line", 3, "--config-dir", line, "--keep", line / "kept", "--form", line / "form.html", typed="\n\n")
    _refused(done, ImageError, "part-02/take-01.png: the same picture as part-01/take-01.png")
    assert len(list((line / "kept").rglob("*.png"))) == 1


def test_a_replay_that_ends_and_a_picture_that_failed(line: Path, recipe: Recipe) -> None:
    (line / "seen" / "1.png").write_bytes(b"no picture")
    for file in sorted((line / "seen").iterdir())[3:]:
        file.unlink()
    camera = '[camera]\nkind = "replay"\nsource = "seen"\nrate = 0\n'
    (line / "3.toml").write_text(f'recipe = "{recipe.folder}"\n{camera}{REFERENCE}')
    done = _run("--line", 3, "--config-dir", line, "--keep", line / "kept", "--form", line / "form.html", typed="\n" * 9)
    _refused(done, ImageError, "the replay has no more pictures; the study needs 100")
    assert "no picture: " in done.stdout
    assert done.stdout.count("part 2 of 10, take 1 of 10") == 2
    assert len(list((line / "kept").rglob("*.png"))) == 2


def test_a_disk_that_takes_no_more_is_told(line: Path) -> None:
    (line / "kept" / "part-01").mkdir(parents=True)
    (line / "kept" / "part-01" / f".take-01.png.{os.getpid()}").mkdir()  # where the file is written aside
    done = _run("--line", 3, "--config-dir", line, "--keep", line / "kept", "--form", line / "form.html", typed="\n")
    _refused(done, ImageError, "take-01.png: cannot be written (Is a directory); make room, then run the same command again")


class HardwareCamera:
    """A camera with a hardware trigger: parts that passed before Enter wait in its buffers, the next comes after a while."""

    simulated, patient, channels = False, False, None
    state: CameraState = "here"

    def __init__(self, waiting: int) -> None:
        self.released: list[int] = []
        self._waiting = [self._frame(number) for number in range(1, waiting + 1)]
        self._looks = 0

    def _frame(self, number: int) -> Frame:
        return Frame(number, 0, 0, np.full((4, 4), number, np.uint8), release=lambda: self.released.append(number))

    def grab(self, timeout_s: float) -> list[Frame]:
        if self._waiting:
            return [self._waiting.pop(0)]
        if timeout_s:
            self._looks += 1
        return [self._frame(9)] if self._looks == 3 else []

    def open(self) -> None: ...

    def stop(self) -> list[Frame]:
        return []

    def close(self) -> None: ...


def test_a_hardware_trigger_is_waited_for_and_parts_before_it_do_not_count() -> None:
    camera, said = HardwareCamera(waiting=3), list[str]()
    image, _ = _picture(camera, "hardware", said.append)
    assert image is not None
    assert image.max() == 9
    assert camera.released == [1, 2, 3, 9]
    assert said == ["  waiting for the trigger"]


def test_every_part_is_taken_once_before_any_is_taken_again() -> None:
    plan = Plan(3, 2, Path("kept"))
    assert plan.order == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
    assert plan.names == ["part-01", "part-02", "part-03"]
    assert plan.file(2, 1) == Path("kept/part-03/take-02.png")
