"""A skip that no list names with its reason, and a test that is expected to fail, fail the run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LISTED = "systemd-analyze is not here"


@pytest.mark.parametrize(
    ("file", "body", "status"),
    [
        ("tests/systemd/test_units.py", f"pytest.skip({LISTED!r})", 0),
        ("tests/systemd/test_units.py", "pytest.skip('no time today')", 1),
        ("tests/systemd/test_other.py", f"pytest.skip({LISTED!r})", 1),
        ("tests/systemd/test_units.py", "pytest.xfail('known')", 1),
        ("tests/systemd/test_units.py", "pass", 0),
    ],
    ids=["listed", "another reason", "another test", "expected to fail", "none"],
)
def test_one_skip(tmp_path: Path, file: str, body: str, status: int) -> None:
    done = _run(tmp_path, file, f"import pytest\n\ndef test_one():\n    {body}\n")
    assert done.returncode == status, done.stdout
    assert ("not in skips.toml" in done.stdout) == bool(status)
    assert not status or f"not in skips.toml: {file}::test_one: " in done.stdout


def test_a_whole_file_that_is_skipped(tmp_path: Path) -> None:
    done = _run(tmp_path, "tests/test_all.py", "import pytest\n\npytest.importorskip('no_such_library')\n")
    assert done.returncode == 1, done.stdout
    assert "not in skips.toml: tests/test_all.py: could not import" in done.stdout


def _run(folder: Path, file: str, text: str) -> subprocess.CompletedProcess[str]:
    (folder / file).parent.mkdir(parents=True)
    (folder / file).write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    words = [sys.executable, "-m", "pytest", "-p", "tests.house.skips", "--rootdir", folder, "-c", folder / "pytest.ini"]
    return subprocess.run([*words, folder / file], capture_output=True, text=True, timeout=60)
