"""Belts on which something goes wrong every few parts, for as many parts as are asked for.

    python -m tests.appliance.plc.random_belts [PARTS]      # the table of `appliance/plc/README.md`

Two things are kept apart: a picture too many and a picture too few within one spacing of parts cancel each other out, and no
count can show that.
"""

from __future__ import annotations

import random
import sys
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field

from appliance.plc.iec.program import Program
from tests.appliance.plc.belt import Belt
from tests.appliance.plc.disturbances import KINDS

# Milliseconds between two parts, and the share of all parts on such belts.
SPACINGS = {50: 0.3, 70: 0.15, 100: 0.2, 150: 0.1, 200: 0.1, 300: 0.08, 500: 0.04, 1000: 0.02, 2000: 0.01}
DEADLINES = (30, 100, 250, 500, 1000)
STALE_MS = 270
CALM_MS = 4_200  # from one disturbance to the next: the belt has come to rest


@dataclass
class Outcome:
    """What became of all parts."""

    parts: int = 0
    good: int = 0
    let_go: int = 0
    bad_let_go: int = 0
    by_anothers: int = 0
    disturbances: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)  # good parts, by what had gone wrong
    lost_undisturbed: int = 0

    def add(self, belt: Belt, happened: list[tuple[int, str]]) -> None:
        """Count one belt; each lost part to the last that went wrong before it was at the gate."""
        times = [at_ms for at_ms, _ in happened]
        self.parts += len(belt.all)
        self.good += sum(part.good for part in belt.all)
        self.let_go += sum(part.let_go for part in belt.all)
        self.bad_let_go += belt.bad_let_go
        self.by_anothers += belt.by_anothers
        self.disturbances.update(name for _, name in happened)
        for part in belt.all:
            if part.good and not part.let_go:
                last = bisect_right(times, part.at_camera_ms + belt.travel_ms)
                if last:
                    self.lost[happened[last - 1][1]] += 1
                else:
                    self.lost_undisturbed += 1


def made_belt(program: Program, spacing_ms: int, deadline_ms: int, parts: int, seed: int) -> Belt:
    """A belt as a plant would set it up: the gate as far as the time budget asks, or farther."""
    dice = random.Random(seed)
    return Belt(
        program,
        spacing_ms=spacing_ms,
        travel_ms=round(max(deadline_ms, STALE_MS) + 130 + dice.choice((0, 100, 600)), -1),
        parts=parts,
        deadline_ms=deadline_ms,
        picture_limit_ms=min(60, spacing_ms - 10),
        picture_ms=(5, 15) if spacing_ms < 70 else (10, 25),
        latency_ms=(5, max(10, int(0.9 * deadline_ms))),
        seed=seed,
    )


def run(belt: Belt, kinds: dict[str, object] | None = None, seed: int = 7) -> Outcome:
    """The belt to its end, with something going wrong every few seconds."""
    dice = random.Random(seed)
    every = max(8, CALM_MS // belt.spacing_ms)
    happened: list[tuple[int, str]] = []
    names = sorted(KINDS if kinds is None else kinds)
    bag: list[str] = []
    number = every
    while number < belt.parts - 2 * every:
        if not bag:
            bag = dice.sample(names, len(names))
        name = bag.pop()

        def happen(at: Belt, name: str = name) -> None:
            happened.append((at.now_ms, name))
            KINDS[name](at, dice)

        belt.events[number] = happen
        number += every + dice.randrange(every // 4 + 1)
    belt.run()
    outcome = Outcome()
    outcome.add(belt, happened)
    return outcome


def run_many(program: Program, parts: int, seed: int = 7) -> Outcome:
    """So many parts, over all spacings and deadlines."""
    total = Outcome()
    for spacing_ms, share in SPACINGS.items():
        for deadline_ms in DEADLINES:
            count = round(parts * share / len(DEADLINES))
            seed += 1
            one = run(made_belt(program, spacing_ms, deadline_ms, count, seed), seed=seed)
            total.parts += one.parts
            total.good += one.good
            total.let_go += one.let_go
            total.bad_let_go += one.bad_let_go
            total.by_anothers += one.by_anothers
            total.disturbances += one.disturbances
            total.lost += one.lost
            total.lost_undisturbed += one.lost_undisturbed
            if __name__ == "__main__" and (one.bad_let_go or one.by_anothers):
                print(spacing_ms, deadline_ms, seed, one.bad_let_go, one.by_anothers)
    return total


def main() -> None:
    """Print the table."""
    from tests.appliance.plc.scenarios import PROGRAM

    total = run_many(PROGRAM, int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    print(f"{total.parts:,} parts, {total.good:,} of them good, {sum(total.disturbances.values()):,} disturbances")
    print(f"bad parts let go: {total.bad_let_go}; let go by another's picture: {total.by_anothers}")
    print(f"good parts lost without a disturbance: {total.lost_undisturbed}")
    print("| disturbance | times | good parts lost, each time |\n|---|---|---|")
    for name, times in sorted(total.disturbances.items()):
        print(f"| {name} | {times} | {total.lost[name] / times:.1f} |")


if __name__ == "__main__":
    main()
