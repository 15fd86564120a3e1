"""`calibrate evaluate` on a small made-up set: from pictures to the result, interrupted, taken up again, and changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from calibrate.cli.main import app
from calibrate.evaluation.category_result import Result
from calibrate.evaluation.datasets import find_categories
from calibrate.evaluation.evaluation import evaluate
from calibrate.evaluation.kept_results import EvaluateRequest, Finished, identities
from calibrate.fit import training
from calibrate.pages.contact_sheet import PAGE
from engines.common.errors import ConfigError, EngineError, UserError
from engines.pictures.images import png_bytes, read_image
from engines.recipe.bundle import load_recipe
from engines.recipe.thresholds import load_thresholds

STEPS, SIDE = 10, 64
pytestmark = pytest.mark.slow
LISTED = {  # what the README promises of each category in the JSON file
    *("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30", "aupro_05"),
    *("good", "false_rejects", "defects", "misses", "threshold", "guarantee", "fit_seconds", "frame_ms"),
}


def _cloth(seed: int) -> np.ndarray:
    """A patterned surface (SIDE, SIDE)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    weave = 120 + 40 * np.sin(x / 3 + rng.uniform(-0.3, 0.3)) * np.sin(y / 3 + rng.uniform(-0.3, 0.3))
    return np.clip(weave + rng.normal(0, 4, weave.shape), 0, 255).astype(np.uint8)


def _save(file: Path, content: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(png_bytes(content))


def make_set(folder: Path) -> Path:
    """10 pictures to fit on; 3 good ones, 3 with a hole (one without mask) and 2 with a stain to test."""
    for i in range(10):
        _save(folder / "train" / "good" / f"{i:03d}.png", _cloth(i))
    for i in range(3):
        _save(folder / "test" / "good" / f"{i:03d}.png", _cloth(100 + i))
    for kind, count, level in (("hole", 3, 0), ("stain", 2, 200)):
        for i in range(count):
            picture, mask = _cloth(200 + 10 * count + i), np.zeros((SIDE, SIDE), np.uint8)
            cv2.circle(mask, (20 + 8 * i, 30), 9, 255, -1)
            picture[mask > 0] = level
            _save(folder / "test" / kind / f"{i:03d}.png", picture)
            if i < 2:
                _save(folder / "ground_truth" / kind / f"{i:03d}_mask.png", mask)
    return folder


class Ran:
    """A set that was evaluated: interrupted in its fit, again after it, and then by the command to its end."""

    def __init__(self, folder: Path) -> None:
        self.data, self.output, self.json = make_set(folder / "cloth"), folder / "evaluation", folder / "evaluation.json"
        self.request = EvaluateRequest(data=(self.data,), output=self.output, steps=STEPS, target="torch", precision="float32")
        self.said: list[str] = []
        self.told: list[str] = []
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(training, "SAVE_SECONDS", 0.0)
            self._interrupted("cloth: fit", times=2)
        self.at_first = self.kept("fit.json")
        self._interrupted("cloth: calibrate", times=1)
        self.fitted = self.kept("fit.json")
        self.printed = self.command("--json", self.json)

    def _interrupted(self, what: str, times: int) -> None:
        shares = [0.0]

        def tell(done: float, told: str) -> None:
            assert done >= shares[-1]
            shares.append(done)
            self.told.append(told)
            if sum(one.startswith(what) for one in self.told) == times:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            evaluate(self.request, self.said.append, tell)

    def command(self, *words: object) -> str:
        """The command on this set, to its end."""
        options = ["evaluate", self.data, "--output", self.output, "--steps", STEPS, *words]
        done = CliRunner().invoke(app, [str(word) for word in options], env={"COLUMNS": "300"}, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    def kept(self, name: str) -> dict[str, object]:
        content: dict[str, object] = json.loads((self.output / "cloth" / name).read_text())
        return content


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(tmp_path_factory.mktemp("evaluated"))


def test_an_interrupted_evaluation_goes_on_where_it_was(ran: Ran) -> None:
    assert f"cloth: going on with the interrupted fit after step 2 of {STEPS}" in ran.said
    assert sum(told.startswith("cloth: fit") for told in ran.told) == STEPS
    assert 0 < ran.at_first["seconds"] < ran.fitted["seconds"]  # type: ignore[operator]
    assert ran.fitted == ran.kept("fit.json")
    assert "to fit on" not in ran.printed
    assert [path.name for path in (ran.output / "cloth").iterdir() if path.name.startswith(".")] == []


def test_the_json_file_holds_what_was_promised(ran: Ran) -> None:
    content = json.loads(ran.json.read_text())
    assert list(content) == ["cloth"]
    assert set(content["cloth"]) >= LISTED
    result = msgspec.convert(content["cloth"], Result)
    assert (result.good, result.defects, result.fitted, result.held_out) == (3, 5, 7, 3)
    assert {kind: found.defects for kind, found in result.defect_types.items()} == {"hole": 3, "stain": 2}
    for found in (result, *result.defect_types.values()):
        for name in ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30", "aupro_05"):
            assert 0 <= getattr(found, name) <= 1, name
        assert found.auspro_30 is None, "only where the set has saturations"
    assert result.image_auroc > 0.9, "black holes and white stains are seen even after ten steps"
    assert result.pixel_auroc > 0.8
    assert result.guarantee == pytest.approx(1 - 0.05 ** (1 / 3)), "what three held-out samples carry at 95 %"
    assert result.frame_ms > 1
    assert result.fit_seconds == ran.kept("fit.json")["seconds"]
    assert result.engine == "torch float32"


def test_every_picture_is_in_the_result_and_counted_as_it_was_judged(ran: Ran) -> None:
    finished = msgspec.json.decode((ran.output / "cloth" / "result.json").read_bytes(), type=Finished)
    pictures, result = finished.pictures, finished.result
    assert [one.file for one in pictures if one.kind == "stain"] == ["test/stain/000.png", "test/stain/001.png"]
    assert len(pictures) == 8
    thresholds = load_thresholds(load_recipe(ran.output / "cloth" / "recipe"))
    assert thresholds is not None
    assert thresholds.score_threshold == result.threshold
    for one in pictures:
        within = one.score <= thresholds.score_threshold and one.level <= thresholds.pixel_threshold
        assert one.passed == within == (one.deviation <= result.limit)
    assert result.false_rejects == sum(not one.passed for one in pictures if one.kind == "good")
    assert result.misses == sum(one.passed for one in pictures if one.kind != "good")


def test_golden_samples_are_links_to_the_training_pictures(ran: Ran) -> None:
    links = sorted((ran.output / "cloth" / "golden").iterdir())
    assert [link.name for link in links] == [f"train-good-{i:03d}.png" for i in range(10)]
    assert all(link.is_symlink() for link in links)
    assert links[3].resolve() == (ran.data / "train" / "good" / "003.png").resolve()


def test_tables_and_contact_sheet_are_for_people(ran: Ran) -> None:
    for words in ("AUPRO 30 %", "at most 63.16% at 95%", "0 of 5 (0.0% to 52.2%)", "hole", "stain", "worst.png"):
        assert words in ran.printed
    assert "sPRO" not in ran.printed
    sheet = read_image(ran.output / "cloth" / "worst.png")
    assert sheet.shape[1] == PAGE[0]
    assert sheet.shape[0] > 300, "none is wrong: what came nearest is shown"


def test_what_is_finished_is_not_computed_again(ran: Ran) -> None:
    before = {path: path.stat().st_mtime_ns for path in (ran.output / "cloth").rglob("*") if path.is_file()}
    first = json.loads(ran.json.read_text())
    printed = ran.command("--json", ran.json)
    assert "cloth: finished before, and neither data nor settings have changed since" in printed
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert json.loads(ran.json.read_text()) == first


def test_several_categories_in_one_call_and_of_each_its_own_result(ran: Ran, tmp_path: Path) -> None:
    for name in ("other", "cloth"):
        shutil.copytree(ran.data, tmp_path / "sets" / name)
        shutil.copytree(ran.output / "cloth", tmp_path / "evaluation" / name, symlinks=True)
    said, told = list[str](), list[tuple[float, str]]()
    request = msgspec.structs.replace(ran.request, data=(tmp_path / "sets",), output=tmp_path / "evaluation")
    results = evaluate(request, said.append, lambda done, what: told.append((done, what)))
    assert list(results) == ["cloth", "other"]
    assert results["cloth"] == results["other"]
    assert told == [(0.5, "cloth"), (1.0, "other")]
    assert len(said) == 2


@pytest.mark.parametrize(
    ("change", "fit_again"),
    [
        (lambda data: _save(data / "train" / "good" / "003.png", _cloth(77)), True),
        (lambda data: (data / "train" / "good" / "003.png").unlink(), True),
        (lambda data: _save(data / "test" / "good" / "001.png", _cloth(78)), False),
        (lambda data: _save(data / "ground_truth" / "hole" / "000_mask.png", _cloth(79)), False),
        (lambda data: (data / "ground_truth" / "hole" / "000_mask.png").unlink(), False),
        (lambda data: (data / "test" / "stain").rename(data / "test" / "spot"), False),
    ],
    ids=["golden sample", "fewer golden samples", "test picture", "mask", "fewer masks", "name of a kind"],
)
def test_changed_data_are_computed_again(tmp_path: Path, change: Callable[[Path], object], fit_again: bool) -> None:
    data = make_set(tmp_path / "cloth")
    request = EvaluateRequest(data=(data,), output=tmp_path, target="torch", precision="float32")
    fitted, tested = identities(find_categories(data)[0], request)
    assert identities(find_categories(data)[0], request) == (fitted, tested)
    change(data)
    now_fitted, now_tested = identities(find_categories(data)[0], request)
    assert (now_fitted != fitted, now_tested != tested) == (fit_again, True)


def test_changed_settings_are_computed_again_but_another_place_is_none(tmp_path: Path) -> None:
    category = find_categories(make_set(tmp_path / "cloth"))[0]
    moved = find_categories(Path(shutil.copytree(tmp_path / "cloth", tmp_path / "moved" / "cloth")))[0]
    request = EvaluateRequest(data=(category.folder,), output=tmp_path, target="torch", precision="float32")
    fitted, tested = identities(category, request)
    for changes in ({"steps": 20}, {"seed": 1}, {"network": "thfr"}, {"rows": 2, "columns": 2}):
        now = identities(category, msgspec.structs.replace(request, **changes))
        assert now[0] != fitted, changes
        assert now[1] != tested, changes
    for changes in ({"max_false_reject": 0.1}, {"confidence": 0.9}, {"target": "openvino"}, {"precision": "float16"}):
        now = identities(category, msgspec.structs.replace(request, **changes))
        assert now[0] == fitted, changes
        assert now[1] != tested, changes
    assert identities(moved, msgspec.structs.replace(request, output=tmp_path / "elsewhere")) == (fitted, tested)


@pytest.mark.parametrize(
    ("changes", "kind", "named"),
    [
        ({"network": "resnet"}, ConfigError, "choose from tfa-net: small, base; thfr"),
        ({"target": "abacus"}, EngineError, "no target named 'abacus'"),
        ({"precision": "float64"}, EngineError, "target torch has no precision float64"),
        ({"data": (Path("a"), Path("b"))}, ConfigError, "two categories are called cloth"),
        ({"data": (Path("few"),)}, UserError, "few/golden: 2 usable golden samples, at least 10 are needed"),
    ],
    ids=["network", "target", "precision", "two of a name", "too few golden samples"],
)
def test_mistakes_are_told_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], kind: type[UserError], named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/cloth", "b/cloth", "few"):
        make_set(tmp_path / name)
    for i in range(2, 10):
        (tmp_path / "few" / "train" / "good" / f"{i:03d}.png").unlink()
    request = EvaluateRequest(data=(Path("a"),), output=Path("evaluation"), target="torch", precision="float32")
    with pytest.raises(kind, match=named):
        evaluate(msgspec.structs.replace(request, **changes), pytest.fail, pytest.fail)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--grid", "3"], "--grid 3: give auto, or ROWSxCOLUMNS such as 2x3"),
        (["--grid", "0x2"], "--grid 0x2: give auto"),
        (["--json", "absent/evaluation.json"], "--json absent/evaluation.json: there is no folder absent"),
        (["--max-false-reject", "2"], "--max-false-reject 2: give a share"),
    ],
)
def test_a_wrong_option_is_refused_at_once(tmp_path: Path, words: list[str], named: str) -> None:
    done = CliRunner().invoke(app, ["evaluate", str(make_set(tmp_path / "cloth")), "--output", str(tmp_path / "out"), *words])
    assert isinstance(done.exception, ConfigError)
    assert named in str(done.exception)
    assert not (tmp_path / "out").exists()
