"""What `inspect replay` tells: a table of differences and a summary for people, one JSON object a line for programs."""

from __future__ import annotations

import sys

import msgspec
from rich.console import Console
from rich.table import Table

from appliance.checks.replay_comparison import COMPARED, CONDITIONS, IGNORED, TOLERANCE, Replayed, Tally
from appliance.messages.schema import Verdict

TOLD = (*COMPARED, *CONDITIONS, "detail")  # of each verdict, in JSON
COLUMNS = ("part", "decided", "was", "is", "score was", "is", "threshold was", "is", "differs")


class ReplayReport:
    """Takes parts as they are replayed; tells at the end, or as they come where a program reads."""

    def __init__(self, console: Console, as_json: bool) -> None:
        self._console, self._json = console, as_json
        self._different = Table(*COLUMNS, title="differences", title_justify="left")
        self._unmeasured = Table(*COLUMNS[:-1], title="not measured then, so not compared", title_justify="left")
        self._now: Verdict | None = None
        self.tally = Tally()

    def take(self, part: Replayed) -> None:
        """Count a part, and tell it if it is not the same."""
        self._now = part.now
        self.tally.take(part)
        if not (part.differs or part.by_circumstances):
            return
        if self._json:
            was, now = ({name: getattr(one, name) for name in TOLD} for one in (part.was, part.now))
            what = {"event": "not compared" if part.by_circumstances else "difference", "differs": part.differs}
            whose = {name: getattr(part.was, name) for name in ("part_id", "epoch", "seq", "decided")}
            _write(what | whose | {"was": was, "now": now})
        elif part.by_circumstances:
            self._unmeasured.add_row(*_cells(part))
        else:
            self._different.add_row(*_cells(part), ", ".join(part.differs))

    def close(self) -> None:
        """Tell the rest."""
        tally = self.tally
        if self._json:
            _write(
                {
                    "event": "summary",
                    "compared": tally.compared,
                    "same": tally.same,
                    "pass_to_reject": tally.pass_to_reject,
                    "reject_to_pass": tally.reject_to_pass,
                    "not_compared": tally.by_circumstances,
                    "largest_score_difference": tally.largest_difference,
                    "other_conditions": dict(tally.conditions),
                    "fields": COMPARED,
                    "ignored": IGNORED,
                    "tolerance": TOLERANCE,
                }
            )
            return
        wide = Console(file=self._console.file, width=max(self._console.width, 130))
        for table in (self._unmeasured, self._different):
            if table.row_count:
                wide.print(table)
        self._say(f"ignored: {', '.join(IGNORED)}; scores may differ by {TOLERANCE:g} of themselves")
        if tally.conditions:
            others = ", ".join(f"{name} of {count} parts" for name, count in tally.conditions.items())
            self._say(f"other than in the journal: {others}; of these only what must still agree was compared")
        if self._now is not None:
            self._say(f"now: recipe {self._now.recipe[:12]} on {self._now.engine}, threshold {_number(self._now.threshold)}")
        self._say(
            f"{tally.compared} compared, {tally.same} the same, {tally.pass_to_reject} pass -> reject, "
            f"{tally.reject_to_pass} reject -> pass; largest difference of scores {tally.largest_difference:.3g}; "
            f"{tally.by_circumstances} not compared"
        )

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)


def _cells(part: Replayed) -> tuple[str, ...]:
    was, now = part.was, part.now
    scores = (_number(was.score), _number(now.score), _number(was.threshold), _number(now.threshold))
    return str(was.part_id), was.decided[:19], _outcome(was), _outcome(now), *scores


def _outcome(verdict: Verdict) -> str:
    return f"{verdict.verdict} {verdict.reason}".strip()


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _write(event: dict[str, object]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
    sys.stdout.buffer.flush()
