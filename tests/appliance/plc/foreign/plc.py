"""A PLC that works as the README's rules say, with nothing of ours between it and the protocol."""

from __future__ import annotations

from collections.abc import Mapping

from tests.appliance.plc.foreign.peers import SLOTS, Peer, places_of_readme

RESULT_FIELDS = ("Epoch", "PartId", "Verdict", "Reason", "Score", "Valid")
Image = Mapping[str, float]  # values of the line's block by their names in the README


class ForeignPlc:
    """Takes results in order and acknowledges them."""

    def __init__(self, peer: Peer, settled: int) -> None:
        """``settled``: the newest part that it does not wait for any more."""
        self._peer, self.settled = peer, settled
        self.places = places_of_readme()
        self._line = {name: place for name, place in self.places.items() if not name.startswith("Plc.")}
        self.block: dict[str, float] = {name: 0 for name in self.places if name.startswith("Plc.")}
        self.taken: list[dict[str, float]] = []

    def look(self) -> Image:
        """The line's block, read in one request (rule 1)."""
        return dict(zip(self._line, self._peer.read(list(self._line.values())), strict=True))

    def cycle(self) -> int:
        """Read, take every result that is due (rule 5), and write, with the heartbeat counted up (rule 8).

        Returns the newest part that it has done with.
        """
        line = self.look()
        while self._is_due(result := result_of(line, self.settled + 1), line):
            self.taken.append(result)
            self.settled += 1
        self.acknowledge(line["Line.Epoch"], self.settled)
        return self.settled

    def acknowledge(self, epoch: float, part: int, **others: float) -> None:
        """Write the whole of the PLC's block; ``others`` are fields of it by their last name."""
        self.settled = part
        self.block |= {f"Plc.{name}": value for name, value in others.items()}
        self.block |= {"Plc.AcknowledgedEpoch": epoch, "Plc.AcknowledgedPart": part}
        self.block["Plc.Heartbeat"] = (self.block["Plc.Heartbeat"] + 1) % 65_536
        self.write(self.block)

    def write(self, values: Mapping[str, float]) -> None:
        """Write fields by their names in the README."""
        self._peer.write({self.places[name]: int(value) for name, value in values.items()})

    def _is_due(self, result: Image, line: Image) -> bool:
        epoch, part, verdict, _, _, valid = (result[name] for name in RESULT_FIELDS)
        return valid == 1 and epoch == line["Line.Epoch"] and part == self.settled + 1 and verdict in (1, 2)


def result_of(line: Image, part: int) -> dict[str, float]:
    """What stands in the slot of a part."""
    return {name: line[f"Result{part % SLOTS}.{name}"] for name in RESULT_FIELDS}
