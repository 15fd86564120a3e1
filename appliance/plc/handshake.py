"""The handshake with the PLC, without sockets or a clock: verdicts go in, the line's block comes out, the PLC's block goes in.

A result is shown, with Valid, until the PLC acknowledges it or it is withdrawn.  Its slot is then shown empty, and used again
only when an exchange has confirmed that.  When its slot is held, a result waits, and all after it, so that they are handed
over in order.  An acknowledgement counts only in the line's epoch and up to its newest picture; it settles that part and all
before it, taken or not, shown or not.

A pass is withdrawn soon after its deadline, a reject when its part is gone.  The overrun bit is set when a result finds its
slot held, is withdrawn or was never received; the acknowledgement after which nothing is left to hand over clears it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from appliance.plc.image import EMPTY, FEWER_PICTURES, MORE_PICTURES, SLOTS, LineBlock, PlcBlock, Slot

NUMBERS = 1 << 16  # of a heartbeat counter


@dataclass(frozen=True, slots=True)
class Status:
    """How the line is, as codes of the process image."""

    state: int
    valid: bool
    simulated: bool


@dataclass(frozen=True, slots=True)
class _Offer:
    slot: Slot
    until_s: float  # seconds of the caller's clock


class Handshake:
    """One line's results on their way to one PLC."""

    def __init__(self) -> None:
        self._waiting: deque[_Offer] = deque()
        self._ring: list[_Offer | None] = [None] * SLOTS
        self._clean = [False] * SLOTS  # shown empty in a confirmed exchange since it was last used
        self._shown_empty = [False] * SLOTS  # in the block that was built last
        self._epoch = 0
        self._newest = self._seen = 0
        self._settled: PlcBlock | None = None  # what the PLC has done with, as far as it was heard
        self._heartbeat = 0
        self._overrun = False
        self._heard = False  # of the line, since the block that was built last
        self._doubt = 0, 0  # of the PLC, and in which epoch
        self.acknowledged = 0
        self.withdrawn = 0

    @property
    def outstanding(self) -> bool:
        """Whether a result is shown that the PLC has not acknowledged."""
        return any(self._ring)

    @property
    def pressed(self) -> bool:
        """Whether results wait for a slot: the next exchange is urgent."""
        return bool(self._waiting)

    @property
    def counted(self) -> tuple[int, int]:
        """The line's epoch, and the newest part in it whose picture came."""
        return self._epoch, self._seen

    def follow(self, epoch: int, newest: int, seen: int) -> None:
        """Take on the line's epoch, newest verdict and newest picture; a new epoch withdraws what is left of the old."""
        if epoch != self._epoch:
            self._withdraw(len(self._waiting) + sum(offer is not None for offer in self._ring))
            self._waiting.clear()
            self._ring = [None] * SLOTS
            self._epoch, self._newest, self._seen = epoch, 0, 0
        self._heard = True
        self._newest = max(self._newest, newest)
        self._seen = max(self._seen, seen, newest)

    def take(self, result: Slot, until_s: float) -> None:
        """Take a result to hand over, in the order of parts; from ``until_s`` on it must not be shown any more."""
        self.follow(result.epoch, result.part_id, result.part_id)
        if not self._is_settled(result):
            self._waiting.append(_Offer(result, until_s))

    def missed(self) -> None:
        """Results were lost before they came here."""
        self._overrun = True

    def expire(self, now_s: float) -> None:
        """Withdraw what must not be shown any more; for while there is no PLC to show anything to."""
        for i, offer in enumerate(self._ring):
            if offer is not None and now_s >= offer.until_s:
                self._ring[i] = None
                self._withdraw(1)
        fresh = [offer for offer in self._waiting if now_s < offer.until_s]
        if len(fresh) < len(self._waiting):
            self._withdraw(len(self._waiting) - len(fresh))
            self._waiting = deque(fresh)

    def show(self, status: Status, now_s: float) -> LineBlock:
        """The block to write now."""
        self.expire(now_s)
        if self._settled is not None:
            self._fill()
        self._shown_empty = [offer is None for offer in self._ring]
        beats, self._heard = self._heard or not status.valid, False
        return LineBlock(
            heartbeat=self._beat() if beats else self._heartbeat,
            state=status.state,
            valid=int(status.valid),
            simulated=int(status.simulated),
            overrun=int(self._overrun),
            epoch=self._epoch,
            newest=self._newest,
            seen=self._seen,
            slots=tuple(offer.slot if offer else EMPTY for offer in self._ring),
        )

    def farewell(self) -> LineBlock:
        """The last block: offline, nothing valid."""
        return LineBlock(heartbeat=self._beat(), epoch=self._epoch, newest=self._newest, seen=self._seen)

    def confirm(self, plc: PlcBlock) -> None:
        """The block shown last was written, and ``plc`` read after that."""
        for i, empty in enumerate(self._shown_empty):
            if empty:
                self._clean[i] = True
        # At first it is believed whatever it says: an earlier bridge has handed it over.
        if self._settled is None:
            self._settled = plc
            self._drop_settled()
        elif plc.epoch == self._epoch and plc.part_id <= self._seen and not self._is_settled(plc):
            self._settled = plc
            self._withdraw(self._drop_settled())  # their parts have left without them

    def disagreement(self, plc: PlcBlock) -> str:
        """Why the line must count anew: the PLC fired another number of triggers than it saw pictures. Once; else empty."""
        before, self._doubt = self._doubt, (plc.doubt, plc.epoch)
        if self._doubt == before or plc.epoch != self._epoch or plc.doubt not in (MORE_PICTURES, FEWER_PICTURES):
            return ""
        more = "more" if plc.doubt == MORE_PICTURES else "fewer"
        return f"the PLC saw {more} pictures than it fired triggers (it is at part {plc.fired}, the line at {self._seen})"

    def _drop_settled(self) -> int:
        """Take back what the PLC has settled; returns how many results were never shown."""
        before, waiting = self.acknowledged, len(self._waiting)
        for i, offer in enumerate(self._ring):
            if offer is not None and self._is_settled(offer.slot):
                self._ring[i] = None
                self.acknowledged += 1
        self._waiting = deque(offer for offer in self._waiting if not self._is_settled(offer.slot))
        if self.acknowledged > before and not self.outstanding and not self._waiting:
            self._overrun = False
        return waiting - len(self._waiting)

    def _is_settled(self, part: Slot | PlcBlock) -> bool:
        """Whether the PLC has done with this part."""
        settled = self._settled
        return settled is not None and part.epoch == settled.epoch and part.part_id <= settled.part_id

    def _fill(self) -> None:
        """Put waiting results into free slots; nothing is shown before it is known what the PLC has taken already."""
        while self._waiting:
            slot = self._waiting[0].slot
            place = slot.part_id % SLOTS
            if self._ring[place] is not None:
                self._overrun = True
                return
            if not self._clean[place]:
                return
            self._ring[place] = self._waiting.popleft()
            self._clean[place] = False

    def _withdraw(self, results: int) -> None:
        if results:
            self.withdrawn += results
            self._overrun = True

    def _beat(self) -> int:
        self._heartbeat = (self._heartbeat + 1) % NUMBERS
        return self._heartbeat
