"""The command `engines`: compile a recipe's graph for a target, prove it, list and measure what there is."""

from __future__ import annotations

import sys

from engines.cli import bench, build, inventory, prepare
from engines.common import good_neighbour
from engines.common.console import new_app, run_app

app = new_app("Compile a recipe's graph for a target, and prove that it answers as the reference does.")
for group in (build, prepare, inventory, bench):
    group.add_to(app)


def main() -> None:
    """Entry point."""
    if sys.argv[1:2] != ["bench"]:  # it measures what the box can do
        good_neighbour.give_way()
    run_app(app)
