"""What is asked of torch-tensorrt is asked in its own words: those of the source that `make trt-wheel` fetches."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from engines.common.errors import EngineError

FOUND = sorted(Path(sys.prefix, "trt-wheel").rglob("torch_tensorrt/dynamo/_compiler.py"))
CONVERT = "convert_exported_program_to_serialized_trt_engine"

pytestmark = pytest.mark.skipif(
    not FOUND, reason="the Python part of torch-tensorrt is not here; fetch it with: make trt-wheel"
)


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    monkeypatch.delitem(sys.modules, "engines.targets.tensorrt_target", raising=False)
    from engines.targets import tensorrt_target

    return tensorrt_target


@pytest.fixture
def convert() -> Callable[..., Any]:
    """A function of the real one's parameters."""
    tree = ast.parse(FOUND[0].read_text(encoding="utf-8"))
    (node,) = (one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == CONVERT)
    assert node.args.kwarg is not None, "unknown keywords are taken, and lead to nothing: that is why they are looked at"
    found = [inspect.Parameter(one.arg, inspect.Parameter.KEYWORD_ONLY) for one in (*node.args.args, *node.args.kwonlyargs)]

    def convert(**_: object) -> None: ...

    convert.__signature__ = inspect.Signature(found)  # type: ignore[attr-defined]
    return convert


def test_every_keyword_is_one_of_its_parameters(target: Any, convert: Callable[..., Any], tmp_path: Path) -> None:
    asked = target.options(convert, torch.zeros(1), tmp_path)
    assert set(asked) <= set(inspect.signature(convert).parameters)
    assert "use_explicit_typing" not in asked, "all networks are strongly typed since 2.14"


def test_a_keyword_of_another_version_is_refused(
    target: Any, convert: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = inspect.signature(convert).parameters
    convert.__signature__ = inspect.Signature([one for name, one in known.items() if name != "timing_cache_path"])
    monkeypatch.setattr(target, "version", lambda _: "2.14.0")
    with pytest.raises(EngineError, match="knows no timing_cache_path"):
        target.options(convert, torch.zeros(1), tmp_path)


def test_tensorrts_messages_go_to_the_logger_that_is_listened_to(target: Any) -> None:
    text = (FOUND[0].parents[1] / "logging.py").read_text(encoding="utf-8")
    assert f'logging.getLogger("{target.LOGGER}")' in text
