"""A user's mistake is one line of exactly what was said, whatever stands in it."""

from __future__ import annotations

import pytest

from engines.common.console import EXIT_MISTAKE, run_app
from engines.common.errors import UserError


@pytest.mark.parametrize("text", ["[bold]", "a[0]", "C:\\", "[/]", "C:\\[red]", ":warning:", "\\[1] \\\\"])
def test_a_mistake_is_told_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    def app(standalone_mode: bool) -> None:
        raise UserError(f"{text}:\n  no such file {text}")

    with pytest.raises(SystemExit) as end:
        run_app(app)
    assert end.value.code == EXIT_MISTAKE
    assert capsys.readouterr() == ("", f"error: {text}: no such file {text}\n")
