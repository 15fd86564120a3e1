"""What names the extra of a missing library: the table is the distribution's, and only such a library is spoken of."""

from __future__ import annotations

import importlib
import re
import sys
from importlib.metadata import packages_distributions, requires

import pytest

from engines.common.console import run_app
from engines.common.errors import EngineError
from engines.common.extras import EXTRAS, import_for
from tests.house.base_only import Absent

SUMS = ("all", "dev")  # extras of extras, and of what only tests need
BROUGHT_ALONG = {"tensorrt"}  # by torch-tensorrt


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_the_table_is_the_distributions() -> None:
    asked = {}
    for requirement in requires("tfa-inspect") or ():
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"""extra == ["']([\w-]+)["']""", requirement)
        assert name is not None
        if extra and extra[1] not in SUMS and name[0] != "tfa-inspect":
            asked[_normal(name[0])] = extra[1]
    modules = {module: {_normal(one) for one in brought} for module, brought in packages_distributions().items()}
    table = {}
    for module, extra in EXTRAS.items():
        brought_by = modules.get(module, {_normal(module)})  # a library that is not here has its distribution's name
        for distribution in brought_by - BROUGHT_ALONG:
            table[distribution] = extra
    assert table == asked


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [Absent(frozenset({"nncf"})), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "nncf", raising=False)
    with pytest.raises(EngineError, match=r"^int8 needs the library nncf; run: pip install 'tfa-inspect\[int8\]'$"):
        import_for("int8", "nncf", EngineError)


@pytest.mark.parametrize("module", ["engines.common.missing", "msgspec.missing", "missing"])
def test_a_module_that_no_extra_brings_stays_a_fault_of_ours(module: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=module):
        import_for("int8", module, EngineError)
    with pytest.raises(ModuleNotFoundError, match=module):
        run_app(lambda **_: importlib.import_module(module))
