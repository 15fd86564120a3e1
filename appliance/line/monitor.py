"""Watches a line for what a person must hear of: overruns, late verdicts, a drift of good parts' scores, a slow journal.

An alarm is raised once, and is over only when there is some distance to what raised it, so that none flaps at its limit.
"""

from __future__ import annotations

import numpy as np

from appliance.host.time_limits import JOURNAL_CAUGHT_UP_S, JOURNAL_SLOW_S
from appliance.messages.notices import Notice
from appliance.messages.schema import Verdict

WINDOW = 100  # verdicts that overruns and late ones are looked for in
LATE_BEGINS, LATE_ENDS = 3, 1  # late verdicts in the window: over 2 %, and at most 1 %
PASSES = 200  # whose scores' median is watched
MEDIAN_EVERY = 20  # passes
# The band is cut from the held-out golden samples' scores by rank, so that it holds whatever their distribution.  Each end
# leaves a twentieth of them outside: when half of all parts are like the outermost of twenty samples, something has changed,
# while the small shifts of every batch and every warm day stay within.  Were parts as the samples were, the median of many
# would lie beyond all n samples after one calibration in 2^(n-1) only: with the fewest samples taken here, one in 512.
OUTSIDE = 0.05
FEWEST_SAMPLES = 10
INNER = 0.1  # of the band's width, at each end: the median must come in so far for the drift to be over
NOTHING: tuple[Notice, ...] = ()


def score_band(scores: tuple[float, ...]) -> tuple[float, float] | None:
    """The band that the median of good parts' scores belongs in; None when the held-out scores are too few to say."""
    n = len(scores)
    if n < FEWEST_SAMPLES:
        return None
    ordered, skipped = sorted(scores), int(OUTSIDE * n)
    return ordered[skipped], ordered[n - 1 - skipped]


class Monitor:
    """Fed by the decision loop; tells only what changes. Costs a few operations a verdict."""

    def __init__(self) -> None:
        self._overruns, self._late = _Recent(), _Recent()
        self._overrun, self._late_rate, self._drift, self._journal_slow = (_Switch() for _ in range(4))
        self._scores = np.zeros(PASSES)
        self._passes = 0
        self._golden: tuple[float, ...] = ()
        self._band: tuple[float, float] | None = None

    def take(self, verdict: Verdict, golden: tuple[float, ...]) -> tuple[Notice, ...]:
        """Watch the next verdict; ``golden``: held-out scores that its thresholds were got from. Returns what is to be told."""
        told = NOTHING if golden is self._golden else self._change(golden)
        overruns = self._overruns.take(verdict.reason == "overrun")
        if self._overrun.turns(overruns > 0, overruns == 0):
            told += (
                Notice("warning", "parts come faster than the engine measures them, and are rejected unmeasured", "overrun")
                if self._overrun.on
                else Notice("info", f"no overrun among the last {WINDOW} parts", "overrun"),
            )
        late = self._late.take(verdict.reason == "late")
        if self._late_rate.turns(late >= LATE_BEGINS, late <= LATE_ENDS):
            told += (Notice("warning" if self._late_rate.on else "info", f"late: {late} of {WINDOW} verdicts", "late-rate"),)
        if verdict.verdict == "pass" and verdict.score is not None:
            self._scores[self._passes % PASSES] = verdict.score
            self._passes += 1
            if self._band and self._passes >= PASSES and self._passes % MEDIAN_EVERY == 0:
                told += self._look_at_drift(*self._band)
        return told

    def look_at_journal(self, behind_s: float) -> tuple[Notice, ...]:
        """Watch how long the oldest verdict waits for its row."""
        if not self._journal_slow.turns(behind_s > JOURNAL_SLOW_S, behind_s < JOURNAL_CAUGHT_UP_S):
            return NOTHING
        if self._journal_slow.on:
            return (Notice("warning", f"the journal is {behind_s:.0f} s behind; see to its disk", "journal-slow"),)
        return (Notice("info", "the journal has caught up", "journal-slow"),)

    def _look_at_drift(self, low: float, high: float) -> tuple[Notice, ...]:
        median = float(np.median(self._scores))
        inner = INNER * (high - low)
        if not self._drift.turns(not low <= median <= high, low + inner <= median <= high - inner):
            return NOTHING
        what = f"the median score of the last {PASSES} passes is {median:.4g}, golden samples had {low:.4g} to {high:.4g}"
        if self._drift.on:
            return (Notice("warning", f"drift: {what}; see to light, lens and position, or calibrate again", "drift"),)
        return (Notice("info", f"the drift is over: {what}", "drift"),)

    def _change(self, golden: tuple[float, ...]) -> tuple[Notice, ...]:
        """Other thresholds: what was measured before says nothing about them."""
        self._golden, self._band, self._passes = golden, score_band(golden), 0
        if self._drift.turns(begins=False, ends=True):
            return (Notice("info", "another recipe: its drift is watched from here on", "drift"),)
        return NOTHING


class _Switch:
    """An alarm's state: off until it begins, then on until it ends."""

    on = False

    def turns(self, begins: bool, ends: bool) -> bool:
        """Whether the state changes now."""
        if not (ends if self.on else begins):
            return False
        self.on = not self.on
        return True


class _Recent:
    """How many of the last `WINDOW` verdicts were of a kind."""

    def __init__(self) -> None:
        self._ring, self._next, self._count = bytearray(WINDOW), 0, 0

    def take(self, hit: bool) -> int:
        """Note the next verdict; returns the count."""
        self._count += hit - self._ring[self._next]
        self._ring[self._next] = hit
        self._next = (self._next + 1) % WINDOW
        return self._count
