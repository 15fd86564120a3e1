"""`calibrate template`: candidates, the choice, writing it, and when a pinned template has aged."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import torch

from appliance.records.archive_files import encode, entry, write
from calibrate.cli.template import fit_command, template
from calibrate.fit.features import medoid
from calibrate.template.aging import Aging, archived_passes, measure_aging, passes_in
from calibrate.template.choice import JSON, PICTURE, Candidate, TemplateChoice, best_of
from calibrate.template.medoids import distances, k_medoids
from engines.common.errors import ConfigError, ImageError, RecipeError
from engines.pictures.images import decode_image, png_bytes, read_image
from engines.recipe.bundle import WEIGHTS, Recipe, load_recipe
from engines.recipe.model_config import TEMPLATE
from engines.recipe.thresholds import load_history, load_thresholds
from tests.appliance.conftest import make_verdict

Floats = npt.NDArray[np.float64]


def _apart(rows: Floats, others: Floats) -> Floats:
    return np.asarray(np.linalg.norm(rows[:, None] - others, axis=2))


def test_k_medoids_are_the_best_of_all_choices_where_groups_are_plain() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(centre, 0.3, (5, 2)) for centre in ((0, 0), (6, 0), (0, 6))])
    apart = _apart(points, points)
    best = min(itertools.combinations(range(15), 3), key=lambda chosen: apart[:, chosen].min(axis=1).sum())
    assert sorted(k_medoids(apart, 3)) == list(best)
    assert k_medoids(apart, 1) == [medoid(torch.from_numpy(points))]
    assert k_medoids(np.zeros((4, 4)), 2) == [0, 0], "equal samples end, too"


def test_distances_are_euclidean() -> None:
    generator = torch.Generator().manual_seed(0)
    rows, others = torch.randn(4, 50, generator=generator), torch.randn(3, 50, generator=generator)
    expected = _apart(rows.half().double().numpy(), others.half().double().numpy())
    np.testing.assert_allclose(distances(rows.half(), others.half()), expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("gained", "lost", "best"),
    [(0, 0, "pinned"), (5, 2, "pinned"), (3, 0, "pinned"), (12, 1, "other"), (0, 9, "pinned")],
)
def test_another_template_is_taken_only_when_it_is_clearly_better(gained: int, lost: int, best: str) -> None:
    pinned = Candidate("pinned", ("pinned",), 0.1, 50, 0, 0)
    assert best_of([pinned, Candidate("other", ("medoid",), 0.1, 50 + gained - lost, gained, lost)]) == best


def _aging(shift: float, rng: np.random.Generator) -> Aging:
    golden = rng.normal(size=(31, 4))
    pinned = int(_apart(golden, golden).sum(axis=1).argmin())
    rest = np.delete(golden, pinned, axis=0)
    compared = np.concatenate([rest, golden[pinned : pinned + 1]])
    recent = rng.normal(size=(60, 4))
    recent[:, 0] += shift
    return measure_aging(_apart(recent, compared), _apart(rest, compared), [str(i) for i in range(30)], rng)


def test_a_template_has_aged_only_when_recent_passes_have_moved() -> None:
    rng = np.random.default_rng(1)
    assert sum(_aging(0.0, rng).aged for _ in range(10)) <= 1
    assert sum(_aging(3.0, rng).aged for _ in range(10)) >= 8


def test_recent_passes_are_the_newest_of_the_line_in_its_archive(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    (tmp_path / "3.toml").write_text('recipe = "r"\n[camera]\nkind = "replay"\nsource = "x"\n[archive]\nfolder = "archive"\n')
    for epoch, seq, line, reject in ((1, 9, "3", False), (2, 1, "3", False), (2, 2, "3", True), (2, 3, "33", False)):
        kind = {"verdict": "reject", "reason": "defect"} if reject else {}
        verdict = make_verdict(seq, epoch, line=line, decided="2026-11-22T06:00:00.000000+00:00", **kind)
        write(entry(archive, verdict), encode(np.zeros((16, 16, 3), np.uint8), None, (0, 0, 16, 16), packed=True))
    assert [file.name for file in archived_passes("3", tmp_path)] == ["3-1-00000009-pass.png", "3-2-00000001-pass.png"]
    (tmp_path / "4.toml").write_text('recipe = "r"\n[camera]\nkind = "replay"\nsource = "x"\n')
    assert archived_passes("4", tmp_path) == []


def test_recent_passes_of_a_folder_are_the_newest(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no picture of a part that passed"):
        passes_in(tmp_path)
    for i, name in enumerate(("b.png", "a.png")):
        (tmp_path / name).write_bytes(png_bytes(np.zeros((8, 8), np.uint8)))
        os.utime(tmp_path / name, (i, i))
    assert [file.name for file in passes_in(tmp_path)] == ["b.png", "a.png"]


def test_a_chosen_template_is_judged_and_written_with_the_same_weights(
    recipe: Recipe, golden_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Path(shutil.copytree(recipe.folder, tmp_path / "assembly"))
    pinned = recipe.manifest.templates[0]
    chosen = next(one.name for one in recipe.manifest.golden if not one.held_out and one.name != pinned)
    template(recipe=own, golden=golden_folder, choose=chosen, recent=golden_folder, defects=24)
    made = load_recipe(own)
    assert made.manifest.templates == (chosen,)
    assert made.manifest.files[WEIGHTS] == recipe.manifest.files[WEIGHTS]
    assert made.digest != recipe.digest
    np.testing.assert_array_equal(read_image(own / TEMPLATE), read_image(golden_folder / chosen))
    assert not (own / "engines").exists()
    assert [one.version for one in load_history(made)] == [1]
    with pytest.raises(RecipeError, match="belongs to another fit of this recipe"):
        load_thresholds(made)
    choice = msgspec.json.decode((own / "report" / JSON).read_bytes(), type=TemplateChoice)
    assert (choice.recipe_digest, choice.pinned, choice.samples) == (recipe.digest, pinned, 8)  # 10 fitted ones, less two
    assert [(one.name, one.roles[-1]) for one in choice.candidates] == [(pinned, "medoid"), (chosen, "asked for")]
    assert 20 <= choice.defects <= 24
    one = choice.candidates[1]
    assert one.detected == choice.candidates[0].detected + one.gained - one.lost
    assert choice.aging is not None
    assert choice.aging.recent == 14
    assert not choice.aging.aged, "parts of today are as the golden samples"
    assert decode_image((own / "report" / PICTURE).read_bytes(), PICTURE).shape[1] == 1320
    told = capsys.readouterr().out
    named = f"--recipe {own} --golden {golden_folder}"
    assert f"next: engines build {named}, then calibrate thresholds {named}" in told
    assert f"  calibrate fit --golden {golden_folder} --recipe {own} --template {chosen} --profile small --steps 24" in told
    assert fit_command(made, golden_folder).endswith("--seed 0 --contrast 1.5 --replace")


def test_what_cannot_be_chosen_is_refused_in_one_line_and_nothing_is_changed(
    recipe: Recipe, banked: Recipe, golden_folder: Path
) -> None:
    held_out = next(one.name for one in recipe.manifest.golden if one.held_out)
    for words, message in (
        ({"recipe": recipe.folder, "choose": held_out}, "is held out, and the thresholds' guarantee rests on it"),
        ({"recipe": recipe.folder, "choose": "no.png"}, "is no golden sample in"),
        ({"recipe": recipe.folder, "choose": held_out, "write": True}, "--choose and --write: give one of them"),
        ({"recipe": banked.folder}, "nothing to choose: its network keeps a bank .* calibrate bank --recipe"),
    ):
        with pytest.raises(ConfigError, match=message):
            template(golden=golden_folder, **words)  # type: ignore[arg-type]
    assert load_recipe(recipe.folder).digest == recipe.digest
    assert not (recipe.folder / "report").exists()
