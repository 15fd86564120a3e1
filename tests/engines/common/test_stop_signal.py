"""SIGINT and SIGTERM: seen, whatever the main thread is doing."""

from __future__ import annotations

import os
import signal

import pytest

from engines.common.stop_signal import StopSignal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_seen_and_the_handlers_before_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert stop.is_set()
    assert signal.getsignal(number) is before


def test_the_handler_takes_no_lock() -> None:
    """It may run inside any call of the main thread, its own included: whatever it waited for could never come."""
    calls = StopSignal._handle.__code__.co_names
    assert calls == ("_set",)
