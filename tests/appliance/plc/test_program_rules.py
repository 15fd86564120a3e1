"""The PLC's program with each condition taken out, one at a time: a belt then shows it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from appliance.plc.iec.program import Program, parse
from tests.appliance.plc.belt import Belt
from tests.appliance.plc.scenarios import BELTS, PROGRAM, SOURCE

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Without:
    """A piece of the program taken out: each text in place of the one before."""

    rule: int
    what: str
    belt: str
    replaced: dict[str, str]
    position: bool = field(default=False, kw_only=True)  # whether the program is told how far the belt has moved
    effect: str  # bad: a bad part is let go; lost: more good parts are rejected; blind: it says that it knows, and does not

    def on_its_belt(self, program: Program) -> Belt:
        """What becomes of it."""
        belt = BELTS[self.belt](program)
        return (belt if self.position else belt.without_position()).run()

    @property
    def program(self) -> Program:
        source = SOURCE
        for old, new in self.replaced.items():
            assert source.count(old) == 1, old
            source = source.replace(old, new)
        return parse(source)


NO_COPY = {"VAR_INPUT\n    Line : InspectLine;": "VAR_IN_OUT\n    Line : InspectLine;\nEND_VAR\nVAR_INPUT\n"}
ON_THE_WAY = "        OnTheWay[i] := 0; (* parts on the way are rejects *)\n"
GATE = "IF Synchronised AND Id <> 0 THEN"
SEEN = " AND (Id < Fired OR Sure.Q)"
WITHOUT = (
    Without(1, "a copy", "verdicts in bursts", NO_COPY, "lost"),
    Without(2, "Valid", "the line is silent, and no part comes", {"Line.Valid = 1 AND ": ""}, "blind"),
    Without(2, "the heartbeat", "an extra picture, and the bridge stands", {" AND NOT Still.Q": ""}, "bad"),
    Without(2, "Simulated", "the pictures are simulated", {" AND Line.Simulated = 0": ""}, "bad"),
    Without(3, "the epoch", "a writing of the epoch before", {" OR Line.Epoch <> Epoch": ""}, "bad"),
    Without(
        3,
        "first cycle",
        "the PLC restarts with a retentive memory",
        {"IF FirstCycle OR PartsMoved THEN": "IF PartsMoved THEN"},
        "bad",
    ),
    Without(3, "the initial value", "the first cycle is not wired", {"Lost : BOOL := TRUE;": "Lost : BOOL;"}, "bad"),
    Without(3, "parts moved", "parts are taken away", {"IF FirstCycle OR PartsMoved THEN": "IF FirstCycle THEN"}, "bad"),
    Without(3, "waiting for an empty belt", "the PLC restarts", {"PT := Travel": "PT := T#0MS"}, "bad"),
    Without(3, "forgetting the parts on the way", "parts are taken away", {"    First := Last;\n": ""}, "bad"),
    Without(
        3,
        "quiet",
        "a count out of date as parts are synchronised, and a trigger lost",
        {"PT := Wait": "PT := T#0MS"},
        "bad",
    ),
    Without(
        3,
        "waiting for a late picture",
        "all pictures are late by a little more than a spacing",
        {"    Wait := LATE;": "    Wait := Picture + STALE;"},
        "bad",
    ),
    Without(
        3,
        "not longer than for it",
        "one picture too many",
        {"    Outstanding := FALSE;\nEND_IF;\nLastSeen": "END_IF;\nLastSeen"},
        "lost",
    ),
    Without(3, "counting on from Seen", "a new epoch after three parts", {"    Fired := Line.Seen;\n": ""}, "lost"),
    Without(3, "settling", "the line starts", {"    Settled := Line.Seen;\n": ""}, "lost"),
    Without(3, "rejecting what is on the way", "ids come again on the belt", {ON_THE_WAY: ""}, "bad"),
    Without(3, "forgetting passes", "a new epoch while the line is valid", {"        Passed[i] := 0;\n": ""}, "bad"),
    Without(
        3,
        "counting the parts on the way",
        "a part is put down behind the camera",
        {"    IF First = Last THEN": "    IF FALSE THEN", "    IF Last = First THEN": "    IF FALSE THEN"},
        "bad",
    ),
    Without(
        3,
        "room for them",
        "more parts on the way than there is room for",
        {"    IF Last = First THEN": "    IF FALSE THEN"},
        "bad",
    ),
    Without(
        3, "Farthest", "a part is taken away, and nobody says so", {" OR Moved > Farthest THEN": " THEN"}, "bad", position=True
    ),
    Without(3, "Nearest", "a part is put among others, and nobody says so", {"Moved < Nearest OR ": ""}, "bad", position=True),
    Without(
        3,
        "a cycle held up",
        "the PLC is held up",
        {"Position - LastPosition > Farthest - Nearest": "FALSE"},
        "bad",
        position=True,
    ),
    Without(
        4,
        "no trigger unless synchronised",
        "all pictures are late by a little more than a spacing",
        {"    IF Synchronised AND Shot.Q THEN": "    IF Shot.Q THEN"},
        "bad",
    ),
    Without(
        4,
        "no trigger before the last was compared",
        "parts closer than their pictures take",
        {"    IF Synchronised AND Shot.Q THEN": "    IF Synchronised THEN"},
        "bad",
    ),
    Without(5, "PartId", "one picture too many", {" AND Result.PartId = Before + k": ""}, "bad"),
    Without(5, "Epoch", "half a writing of the epoch before", {"Result.Epoch = Epoch AND ": ""}, "bad"),
    Without(
        5, "Verdict 1 or 2", "a result half read", {" AND (Result.Verdict = 1 OR Result.Verdict = 2) THEN": " THEN"}, "lost"
    ),
    Without(5, "acknowledging", "dense", {"Plc.AcknowledgedPart := Settled;": ""}, "lost"),
    Without(5, "the acknowledged epoch", "dense", {"Plc.AcknowledgedEpoch := Epoch;": ""}, "lost"),
    Without(6, "a pass", "dense", {"Passed[Id MOD BELT] = Id AND": "TRUE AND"}, "bad"),
    Without(6, "its own pass", "very dense", {"Passed[Id MOD BELT] = Id AND": "Passed[Id MOD BELT] <> 0 AND"}, "bad"),
    Without(6, "a trigger", "the line is silent", {GATE: "IF Synchronised THEN"}, "bad"),
    Without(6, "giving up", "twelve results in a row are lost", {"                Settled := Id;\n": ""}, "lost"),
    Without(6, "closing the gate", "parts are taken away", {"    OpenGate := FALSE;\n": ""}, "bad"),
    Without(
        6,
        "closing it when parts are moved",
        "a part is exchanged at the gate",
        {"PartAtEjector OR Lost THEN": "PartAtEjector THEN"},
        "bad",
    ),
    Without(7, "more pictures", "one picture too many", {"Line.Seen > Fired": "FALSE"}, "bad"),
    Without(7, "fewer pictures", "triggers are lost", {" AND Shot.Q AND Line.Seen < Fired": " AND FALSE"}, "bad"),
    Without(7, "at the gate", "the gate nearer than pictures take", {SEEN: ""}, "bad"),
)


@pytest.mark.parametrize("piece", WITHOUT, ids=lambda piece: f"{piece.rule} {piece.what}")
def test_without_a_rule_a_bad_part_is_let_go_or_good_ones_are_lost(piece: Without) -> None:
    belt, whole = piece.on_its_belt(piece.program), piece.on_its_belt(PROGRAM)
    if piece.effect == "bad":
        assert belt.bad_let_go > 0
    elif piece.effect == "blind":
        assert belt.blind_ms > whole.blind_ms + 500
    else:
        assert belt.good_lost > whole.good_lost
