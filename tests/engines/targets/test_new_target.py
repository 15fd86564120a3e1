"""A new target is one new file and one line in `TARGETS`: one is made up here, and put to work."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from textwrap import dedent

import numpy as np
import pytest

from engines.proof.admission import load_engine
from engines.recipe.bundle import Recipe, load_recipe
from engines.targets import TARGETS, TargetInfo, load_reference, run_once

ABACUS = """
    from engines.targets import load_reference


    class Abacus:
        def __init__(self, engine):
            self._engine, self.target = engine, "abacus float32"

        def new_slot(self):
            return self._engine.new_slot()

        def close(self):
            self._engine.close()


    FILES = ("beads",)


    def attempts(precision):
        return 1


    def build(recipe, precision, folder, golden, attempt):
        (folder / "beads").write_text(str(len(golden)))


    def load(recipe, precision, folder, share):
        assert (folder / "beads").is_file()
        return Abacus(load_reference(recipe))


    def versions():
        return {"abacus": "1"}
"""
COMMANDS = (("engines", "build"), ("engines", "verify"), ("calibrate", "thresholds"), ("calibrate", "evaluate"))


def test_a_new_target_is_built_proven_and_loaded(
    recipe: Recipe,
    golden_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_process: Callable[..., CompletedProcess[str]],
) -> None:
    (tmp_path / "abacus_target.py").write_text(dedent(ABACUS), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "abacus_target", raising=False)
    monkeypatch.setitem(TARGETS, "abacus", TargetInfo("abacus_target", ("float32",), None))  # type: ignore[attr-defined]
    copied = load_recipe(Path(shutil.copytree(recipe.folder, tmp_path / recipe.name)))
    done = in_process("engines", "build", "--recipe", copied.folder, "--golden", golden_folder, "--target", "abacus")
    assert done.returncode == 0, done.stderr
    assert "the parity gate was passed" in done.stdout
    engine, reference = load_engine(copied, "abacus", "float32"), load_reference(copied)
    slots = engine.new_slot(), reference.new_slot()
    for slot in slots:
        run_once(slot, np.zeros((512, 512, 3), np.uint8), copied.manifest.geometry)
    np.testing.assert_array_equal(slots[0].frame_map, slots[1].frame_map)
    engine.close()
    reference.close()


@pytest.mark.parametrize("words", COMMANDS)
def test_help_names_every_target(in_process: Callable[..., CompletedProcess[str]], words: tuple[str, ...]) -> None:
    text = in_process(*words, "--help").stdout
    assert all(target in text for target in TARGETS)
