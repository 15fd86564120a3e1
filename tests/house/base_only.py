"""One of the project's commands as in a base install: no library of any extra can be imported.

python -m tests.house.base_only inspect run --line 3
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from engines.common.extras import EXTRAS

ABSENT = frozenset(EXTRAS) | {"gi", "torchvision"}
PACKAGES = {"inspect": "appliance", "calibrate": "calibrate", "engines": "engines"}


class Absent:
    """Stands first among the finders of modules, and has these not found."""

    def __init__(self, names: frozenset[str] = ABSENT) -> None:
        self._names = names

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder.find_spec`."""
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def main() -> None:
    """Run the command that is named, with its arguments."""
    sys.meta_path.insert(0, Absent())
    del sys.argv[0]
    importlib.import_module(f"{PACKAGES[sys.argv[0]]}.cli.main").main()


if __name__ == "__main__":
    main()
