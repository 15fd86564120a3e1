"""Time: monotonic inside, UTC at the edge."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_of(monotonic_ns: int) -> str:
    """The UTC time of a moment on the monotonic clock, ISO 8601; the wall clock is read now, so a correction shows at once."""
    wall_ns = time.time_ns() - (time.monotonic_ns() - monotonic_ns)
    return (_EPOCH + timedelta(microseconds=wall_ns // 1000)).isoformat(timespec="microseconds")


def utc_now() -> str:
    """The UTC time, ISO 8601."""
    return utc_of(time.monotonic_ns())
