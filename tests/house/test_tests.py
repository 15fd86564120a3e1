"""No test without an assertion that is reached: one outside of branches, and of loops that may go round not once."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
CHECKS = ("pytest.raises", "pytest.warns", "pytest.fail")
Functions = Mapping[str, ast.FunctionDef]


def unproven(source: str, shared: Functions) -> list[str]:
    """The tests of a module that assert nothing for certain; ``shared``: what other modules of the tests offer by name."""
    own = functions(source)
    known = {**shared, **own}
    return [name for name, one in own.items() if name.startswith("test_") and not _asserts(one, known, frozenset())]


def functions(source: str) -> Functions:
    """The functions of a module by name, fixtures too."""
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def _asserts(function: ast.FunctionDef, known: Functions, seen: frozenset[str]) -> bool:
    return any(_is_assertion(node, known, seen | {function.name}) for node in _certain(function.body))


def _certain(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """What is run each time, or given to something that runs it: no branch, no loop that may be empty."""
    for statement in body:
        if isinstance(statement, ast.For):
            yield from _certain(statement.body) if _never_empty(statement.iter) else ()
        elif isinstance(statement, ast.If):
            chosen = [list(_certain(branch)) for branch in (statement.body, statement.orelse)]
            yield from chosen[0] + chosen[1] if all(chosen) else []
        elif isinstance(statement, ast.With):
            yield from (node for item in statement.items for node in ast.walk(item.context_expr))
            yield from _certain(statement.body)
        elif isinstance(statement, ast.Try):
            yield from _certain(statement.body + statement.finalbody)
        elif isinstance(statement, ast.FunctionDef):  # a fixture's, or what a test hands on
            yield from _certain(statement.body)
        elif isinstance(statement, ast.While):  # what waits for something ends when that has come
            waits = isinstance(statement.test, ast.UnaryOp) and isinstance(statement.test.op, ast.Not)
            yield from _certain(statement.body) if waits else ast.walk(statement.test)
        else:
            yield from ast.walk(statement)


def _never_empty(loop: ast.expr) -> bool:
    """Whether a loop's values stand in the test itself, or are counted beside others."""
    if isinstance(loop, ast.Tuple | ast.List | ast.Set | ast.Dict):
        return True
    if not isinstance(loop, ast.Call):
        return ast.unparse(loop).isupper()  # a constant
    name = ast.unparse(loop.func)
    if name == "zip":
        return any(ast.unparse(word) == "strict=True" for word in loop.keywords)
    if name == "enumerate":
        return _never_empty(loop.args[0])
    table, _, of = name.rpartition(".")
    return name in ("range", "product", "np.ndindex") or (table.isupper() and of in ("items", "values"))


def _is_assertion(node: ast.AST, known: Functions, seen: frozenset[str]) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func)
    if name in CHECKS or name.rsplit(".", 1)[-1].startswith("assert_"):
        return True
    return name in known and name not in seen and _asserts(known[name], known, seen)


@pytest.mark.parametrize("file", sorted(TESTS.rglob("test_*.py")), ids=lambda file: file.stem)
def test_every_test_asserts_something(file: Path) -> None:
    shared: dict[str, ast.FunctionDef] = {}
    for folder in reversed([*file.relative_to(TESTS).parents]):
        conftest = TESTS / folder / "conftest.py"
        shared |= functions(conftest.read_text()) if conftest.exists() else {}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests."):
            shared |= functions((TESTS.parent / f"{str(node.module).replace('.', '/')}.py").read_text())
    assert unproven(file.read_text(), shared) == []


@pytest.mark.parametrize(
    "body",
    [
        "run()",
        "if found:\n  assert found",
        "for one in found:\n  assert one",
        "while more():\n  assert more()",
        "looks_at(found)",
    ],
)
def test_a_test_that_may_assert_nothing_is_found(body: str) -> None:
    helper = "def looks_at(found):\n return found\n"
    lines = "".join(f" {line}\n" for line in body.splitlines())
    assert unproven(f"{helper}def test_it(found):\n{lines}", {}) == ["test_it"]
    assert unproven(f"{helper}def test_it(found):\n{lines} assert found\n", {}) == []
    assert unproven(f"def looks_at(found):\n assert found\ndef test_it(found):\n looks_at(found)\n{lines}", {}) == []
