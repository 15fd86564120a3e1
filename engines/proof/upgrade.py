"""Before an upgrade: engines for the environment that this process runs in, beside those of the one that serves.

Nothing that another environment loads is written: its engines lie in folders of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from engines.common.errors import ConfigError, EngineError
from engines.common.line_file import EngineConfig
from engines.proof.admission import describe, load_engine, need_intact, need_proven
from engines.proof.build import Say, Tell, build_engine, verify_engine
from engines.recipe.bundle import Recipe
from engines.targets import TARGETS, target_module

Prepared = Literal["ready", "proven now", "built now"]


def prepare(recipe: Recipe, engine: EngineConfig, golden: Path | None, say: Say, tell: Tell) -> Prepared:
    """See that a line's engine would start here, with the thresholds as they are now; build or prove it where it would not.

    Raises UserError kinds that say why it would not start even so; an engine that failed the gate is kept with its report.
    """
    target, precision = engine.target, engine.precision
    target_module(target, precision)  # a mistake in the line's file is no reason to build
    outcome: Prepared = "ready"
    if not _proven(recipe, target, precision):
        if golden is None:
            raise ConfigError('its engine must be built or proven, from golden samples: set golden = "..." in the line\'s file')
        outcome = "proven now" if _intact(recipe, target, precision) else "built now"
        make = verify_engine if outcome == "proven now" else build_engine
        parity = make(recipe, target, precision, golden, None, say, tell).parity  # type: ignore[arg-type]  # they check it
        if parity is None or not parity.passed:
            why = describe(parity) if parity else "not compared"
            raise EngineError(
                f"{recipe.folder}: {target} {precision} does not pass the parity gate here ({why}); "
                "choose another precision, or stay with the environment that serves"
            )
    load_engine(recipe, target, precision, engine.share).close()
    return outcome


def _proven(recipe: Recipe, target: str, precision: str) -> bool:
    if TARGETS[target].reference == precision:
        return True
    try:
        need_proven(recipe, target, precision)
    except EngineError:
        return False
    return True


def _intact(recipe: Recipe, target: str, precision: str) -> bool:
    try:
        need_intact(recipe, target, precision)
    except EngineError:
        return False
    return True
