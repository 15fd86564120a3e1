"""The command `calibrate`: from golden samples to a recipe with thresholds."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from calibrate.cli import collect, detectability, evaluate, fit, report, study, template, thresholds
from calibrate.cli.options import bank_ratio
from engines.cli.options import ConfigDir, GoldenDir, LineName, RecipeDir, console
from engines.cli.subject import subject
from engines.common import good_neighbour
from engines.common.console import new_app, run_app
from engines.common.errors import ConfigError
from engines.recipe.model_config import BANK

app = new_app("Make and calibrate recipes: golden samples in, a recipe bundle with thresholds out.")


@app.command(epilog="Example:  calibrate bank --line 3 --ratio 25")
def bank(
    ratio: Annotated[str, typer.Option(help="Per cent of the fitted golden samples to keep: 10, 25, 50 or 100.")],
    line: LineName = None,
    recipe: RecipeDir = None,
    golden: GoldenDir = None,
    config_dir: ConfigDir = None,
) -> None:
    """Keep more or fewer templates in a recipe of the network thfr, without a new fit; then renew thresholds and engines."""
    about = subject(line, recipe, golden, config_dir)
    kept = bank_ratio(ratio, "--ratio")

    before = about.load()
    if before.manifest.model.templates_file != BANK:
        raise ConfigError(
            f"{about.recipe}: its network has one template and no bank; fit one with: calibrate fit --network thfr"
        )
    from calibrate.fit.bank_change import remake_bank
    from calibrate.fit.recipe_fit import told

    made = remake_bank(before, about.need_golden(), kept)
    console.print(f"recipe written: {made.folder} (digest {made.digest[:12]}), {told(made.manifest.templates)}")
    console.print(f"next: {made.naming.command('engines build')}, then {made.naming.command('calibrate thresholds')}")


fit.add_to(app)
collect.add_to(app)
thresholds.add_to(app)
evaluate.add_to(app)
detectability.add_to(app)
template.add_to(app)
report.add_to(app)
study.add_to(app)


def main() -> None:
    """Entry point."""
    if sys.argv[1:2] not in (["collect"], ["study"]):  # they keep pace with a camera
        good_neighbour.give_way()
    run_app(app)
