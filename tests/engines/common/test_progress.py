"""Progress of long jobs: a line for each tenth where there is no terminal, a bar where there is one."""

from __future__ import annotations

import io

from rich.console import Console

from engines.common.progress import Steps


def test_each_tenth_is_one_line_in_a_log() -> None:
    out = io.StringIO()
    with Steps(Console(file=out, width=200), "fit").shown() as steps:
        steps.say("skipped: [bold]a.png[/]")
        for done in range(1, 51):
            steps.tell(done, 50, f"loss {done}")
    lines = out.getvalue().splitlines()
    assert lines[:3] == ["skipped: [bold]a.png[/]", "fit 0 %  loss 1", "fit 10 %  loss 5"]
    assert lines[-1] == "fit 100 %  loss 50"
    assert len(lines) == 12


def test_a_terminal_shows_a_bar_with_the_note() -> None:
    out = io.StringIO()
    with Steps(Console(file=out, width=100, force_terminal=True), "fit").shown() as steps:
        steps.tell(3, 4, "loss 0.5")
    assert "75%" in out.getvalue()
    assert "loss 0.5" in out.getvalue()
