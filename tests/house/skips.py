"""A pytest plugin: the run fails on a skipped test that tests/skips.toml does not name with its reason, and on an xfail."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

LIST = Path(__file__).resolve().parents[1] / "skips.toml"


class Skips:
    """The list, and what was skipped without standing in it."""

    def __init__(self) -> None:
        self._allowed = tomllib.loads(LIST.read_text(encoding="utf-8"))["skip"]
        self.unlisted: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's end; one that is expected to fail is none that is skipped, and may not be at all."""
        if hasattr(report, "wasxfail"):
            self.unlisted.append(f"{report.nodeid}: is expected to fail: {report.wasxfail}")
        else:
            self._take(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A whole file that was skipped."""
        self._take(report)

    def _take(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped:
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not any(fnmatchcase(report.nodeid, one["tests"]) and reason == one["reason"] for one in self._allowed):
            self.unlisted.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that would have passed."""
        if self.unlisted and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name them."""
        for one in self.unlisted:
            terminalreporter.line(f"SKIPPED, and not in {LIST.name}: {one}", red=True, bold=True)


def pytest_configure(config: pytest.Config) -> None:
    """Take part in the run."""
    config.pluginmanager.register(Skips())
