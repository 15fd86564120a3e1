"""Progress of long jobs: a bar on a terminal, a line for every tenth anywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn


class Steps:
    """Where a job tells how far it is."""

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title = console, title
        self._bar: Progress | None = None
        self._told = -1

    @contextmanager
    def shown(self) -> Iterator[Steps]:
        """Show the bar while the job runs, where there is a terminal."""
        if not self._console.is_terminal:
            yield self
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[note]}"))
        with Progress(*columns, console=self._console) as self._bar:
            self._bar.add_task(self._title, total=None, note="")
            yield self

    def say(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, markup=False, highlight=False)

    def tell(self, done: int, total: int, note: str = "") -> None:
        """So much is done."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=total, completed=done, note=note)
        elif (tenth := done * 10 // total) > self._told:
            self._told = tenth
            self.say(f"{self._title} {tenth * 10} %  {note}".rstrip())
