"""A line whose recipe has a bank: verdicts tell the template, pictures show it, and recipes of both networks change over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from appliance.config.line import need_archive, need_journal
from appliance.line.decision import matched
from appliance.line.running_line import RunningLine
from appliance.messages.orders import ask_for_recipe, orders_address
from appliance.messages.schema import TemplateMatch
from appliance.records.part_picture import part_picture
from engines.recipe.bundle import Recipe
from engines.recipe.templates import read_templates
from tests.appliance.conftest import MakeLine, inspect_all, verdicts_of, wait_for

OPENVINO = {"target": "openvino", "precision": "float32"}


@pytest.mark.usefixtures("roomy_archive")
def test_verdicts_tell_the_template_and_pictures_show_it(
    tmp_path: Path, make_line: MakeLine, banked: Recipe, golden_folder: Path
) -> None:
    folder, names = tmp_path / "frames", banked.manifest.templates
    camera = {"kind": "replay", "source": str(golden_folder), "rate": 0}
    records = {"archive": {"folder": str(folder), "passes": 1, "free_gb": 0}, "journal": {"file": "journal.db"}}
    line = make_line(recipe=banked.folder, camera=camera, engine=OPENVINO, **records)
    verdicts = verdicts_of(inspect_all(line))
    assert len(verdicts) == 14
    for verdict in verdicts:
        assert verdict.template is not None
        assert verdict.template.name == names[verdict.template.index]
        if verdict.source in names:  # a template is most similar to itself
            assert verdict.template.name == verdict.source
            assert verdict.template.similarity == pytest.approx(1, abs=2e-3)
        else:
            assert 0 < verdict.template.similarity < 0.999
    assert {verdict.source for verdict in verdicts} >= set(names)
    for verdict in verdicts[:3]:
        assert verdict.template is not None
        _, picture = part_picture(line.name, need_archive(line), need_journal(line), line.config.recipe, verdict.part_id, None)
        template = read_templates(banked).picture(verdict.template.index)
        shown = picture[-512:, 2 * 512 :]
        assert np.abs(shown.astype(int) - template).mean() < 1


@pytest.mark.parametrize("match", [(np.nan, 0.5), (0.0, np.nan), (3.0, 0.5), (-1.0, 0.5), (0.5, 0.5)])
def test_a_match_that_cannot_be_is_not_told(match: tuple[float, float]) -> None:
    assert matched(("a", "b", "c"), np.array(match, np.float32)) is None
    assert matched(("a", "b", "c"), np.array((2.0, 0.5), np.float32)) == TemplateMatch(2, "c", 0.5)


def test_a_line_changes_over_from_one_network_to_the_other_and_back(
    make_line: MakeLine, built: Recipe, banked: Recipe, parts_folder: Path
) -> None:
    camera = {"kind": "replay", "source": str(parts_folder), "rate": 10, "loop": True}
    line = make_line(recipe=built.folder, camera=camera, engine=OPENVINO)
    running = RunningLine(line)
    try:
        running.start()
        for recipe in (banked, built):
            answer = ask_for_recipe(orders_address(line.name, line.config.publish), recipe.folder, lambda _: None, 10, 60)
            assert answer is not None
            assert answer.state == "changed", answer.text
            wait_for(lambda digest=recipe.digest: verdicts_of(list(running.events))[-1].recipe == digest, "its verdicts")  # type: ignore[misc]
    finally:
        running.close()
    verdicts = verdicts_of(list(running.events))
    assert [verdict.seq for verdict in verdicts] == list(range(1, len(verdicts) + 1))
    by_recipe = {built.digest: built, banked.digest: banked}
    assert {verdict.recipe for verdict in verdicts} == set(by_recipe)
    matched = [(verdict.recipe, verdict.template.name) for verdict in verdicts if verdict.template is not None]
    assert {recipe for recipe, _ in matched} == set(by_recipe)
    assert all(name in by_recipe[recipe].manifest.templates for recipe, name in matched)
