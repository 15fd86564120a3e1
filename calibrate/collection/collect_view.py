"""What `calibrate collect` shows while it takes pictures: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from calibrate.collection.collector import Collection, Sample
from calibrate.collection.picture_checks import Refusal
from engines.common.progress import Steps

LAST_TOLD = 6
QUIET_S = 10.0  # without any picture, before that is said in a line
IN_A_ROW = 10  # refusals for one reason: then it is not the part


class CollectView:
    """Takes what happens to each frame, and shows it."""

    def __init__(self, console: Console, line: str, trigger: str, collection: Collection) -> None:
        self._console, self._line, self._trigger, self._collection = console, line, trigger, collection
        self._steps = Steps(console, "taken")
        self._told: deque[str] = deque(maxlen=LAST_TOLD)
        self._frames = 0
        self._row: tuple[str, int] = ("", 0)  # the reason that was last refused for, and how often in a row
        self._heard_s, self._quiet_told = time.monotonic(), False

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the table while the block runs, where there is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(self, console=self._console, refresh_per_second=5):
            yield

    def take(self, event: Sample | Refusal | None) -> None:
        """A frame was taken or refused; None: none came for a moment."""
        now = time.monotonic()
        if event is None:
            if now - self._heard_s > QUIET_S and not self._quiet_told:
                self._quiet_told = True
                self._say(f"no picture for {QUIET_S:g} s; the camera's trigger is {self._trigger}")
            return
        self._heard_s, self._quiet_told = now, False
        self._frames += 1
        refusal = event if isinstance(event, Refusal) else event.refusal
        if refusal is not None:
            self._refused(refusal, kept=isinstance(event, Sample))
        else:
            self._row = ("", 0)
        if isinstance(event, Sample) and not self._console.is_terminal:
            self._steps.tell(
                len(self._collection.taken),
                self._collection.wanted,
                f"{len(self._collection.taken)} of {self._collection.wanted}",
            )

    def notice(self, severity: str, text: str, kind: str = "") -> None:
        """What the camera has to tell."""
        self._say(f"{severity}: {text}")

    def _refused(self, refusal: Refusal, kept: bool) -> None:
        reason, times = self._row
        times = times + 1 if reason == refusal.reason else 1
        self._row = (refusal.reason, times)
        # A camera that sees a part at rest gives the same picture many times a second.
        if times <= IN_A_ROW or times % (10 ** (len(str(times)) - 1)) == 0:
            what = "kept all the same" if kept else "refused"
            self._say(f"frame {self._frames} {what}, {refusal.reason}: {refusal.text}")
        if times == IN_A_ROW:
            self._say(f"{times} in a row: {_ADVICE.get(refusal.reason, 'see to the camera')}")

    def _say(self, text: str) -> None:
        self._told.append(text)
        if not self._console.is_terminal:
            self._console.print(text, markup=False, highlight=False)

    def __rich__(self) -> Group:
        """The table as it is now."""
        collection = self._collection
        table = Table(title=f"line {self._line}: golden samples into {collection.folder}", title_justify="left")
        for heading in ("taken", "refused", "by reason", "sharpness", "exposure", "last picture"):
            table.add_column(heading, justify="left" if heading in ("by reason", "exposure") else "right")
        taken, refused = len(collection.taken), dict(collection.refused)
        last, usual = collection.last, collection.checks.medians
        sharpness = exposure = "-"
        if last is not None:
            sharpness = f"{last.sharpness / usual.sharpness:.2f} of median" if usual else f"{last.sharpness:.3g}"
            mean = f"{last.mean / usual.mean:.2f} of median" if usual else f"mean {last.mean:.0f}"
            exposure = f"{mean}, {last.dark:.1%} dark, {last.bright:.1%} bright"
        table.add_row(
            f"{taken} of {collection.wanted}",
            str(sum(refused.values())),
            ", ".join(f"{reason} {count}" for reason, count in refused.items()) or "-",
            sharpness,
            exposure,
            f"{time.monotonic() - self._heard_s:.1f} s ago" if self._frames else f"none yet ({self._trigger} trigger)",
        )
        told = [Text(line, style="yellow", overflow="ellipsis", no_wrap=True) for line in self._told]
        bar = Table.grid()  # a bar by itself does not end its line
        bar.add_row(ProgressBar(total=collection.wanted, completed=taken, width=60))
        return Group(table, bar, *told, Text("Ctrl-C stops, and keeps what was taken", style="dim"))


_ADVICE = {
    "blurred": "see to lens and distance; or, where parts stay blurred on purpose, start with an empty folder",
    "exposure": "see to light and exposure time; where they were changed on purpose, start with an empty folder",
    "duplicate": "the same part is seen again; where parts really are that alike, give --keep-all",
    "size": "the camera's Width and Height have changed",
}
