"""When a picture was taken, by the camera's own time stamp: reading it late does not make it younger."""

from __future__ import annotations

from appliance.capture import CameraLostError

DRIFT = 1e-4  # how fast two clocks may part: twice what quartzes do
LAG_NS = 20_000_000  # more than exposures and transfers of one camera differ by
WAITED_FOR = 8  # pictures in a row that were waited for, and so not read late: more of them do not come late by chance


class CameraClock:
    """Maps a camera's time stamps, in ns from anywhere, to the monotonic clock of this box.

    The least difference of reading and stamp belongs to the picture that was read soonest; by that difference a stamp is told
    in our time.  A picture that waited in the driver, or while this process stood still, then shows its age.  The difference
    may grow by as much as clocks drift apart, so that a camera whose clock is slow does not seem to be late after an hour.
    """

    def __init__(self, awaited: bool = False) -> None:
        """``awaited``: its own trigger waits for each picture, and sees to late ones; lagging is then no error here."""
        self._awaited = awaited
        self._captured_ns = 0  # given last: times do not go back, over all that happens to the camera's clock
        self.restart()

    def restart(self) -> None:
        """The camera was opened: its clock may tell anything."""
        self._offset_ns: int | None = None  # from its clock to ours
        self._camera_ns, self._read_ns = 0, 0
        self._waited_ns: list[int] = []  # ages of the last pictures, as long as each was waited for

    def mapped(self, camera_ns: int | None) -> int | None:
        """A stamp in our time, if it can be told; learns nothing from it."""
        return None if camera_ns is None or self._offset_ns is None else camera_ns + self._offset_ns

    def captured(self, camera_ns: int | None, read_ns: int, waited: bool, sure: bool = True) -> int:
        """When a picture that was read at ``read_ns`` was taken, in ns of the monotonic clock: never later than it was read.

        ``camera_ns``: its stamp, None where it has none.  ``waited``: nothing was there when we began to wait for it.
        ``sure``: false for a broken picture, whose stamp may be that of an earlier one.

        Raises CameraLostError when pictures come late one after the other: whether they lag, only opening it anew can tell.
        """
        mapped: int | None = read_ns
        if camera_ns is not None and camera_ns != self._camera_ns:  # a clock that stands still tells nothing
            if sure:
                self._learn(camera_ns, read_ns, waited)
            if sure or camera_ns > self._camera_ns:
                mapped = self.mapped(camera_ns)
        self._captured_ns = max(self._captured_ns, min(read_ns, read_ns if mapped is None else mapped))
        return self._captured_ns

    def _learn(self, camera_ns: int, read_ns: int, waited: bool) -> None:
        difference = read_ns - camera_ns
        if self._offset_ns is None or camera_ns < self._camera_ns:  # it was set back: what was known is of another time
            self._offset_ns = difference
            self._waited_ns.clear()
        else:
            drifted = int((read_ns - self._read_ns) * DRIFT)
            self._offset_ns = min(difference, self._offset_ns + drifted)
        self._camera_ns, self._read_ns = camera_ns, read_ns
        # Pictures that were waited for, and all seem old: by drift, if by little; else the camera lags, or its clock was set.
        self._waited_ns = [*self._waited_ns, difference - self._offset_ns][-WAITED_FOR:] if waited else []
        if len(self._waited_ns) == WAITED_FOR and (too_old := min(self._waited_ns)) > 0:
            if too_old > LAG_NS and not self._awaited:
                late = f"its last {WAITED_FOR} pictures all came {too_old / 1e6:.0f} ms late"
                raise CameraLostError(
                    f"the camera's time stamps say that {late}: it lags, or its clock was set; it is opened anew"
                )
            self._offset_ns += too_old
            self._waited_ns.clear()
