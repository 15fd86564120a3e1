"""What a service manager is told of a command: ready, alive, stopping (systemd's sd_notify protocol).

Datagrams to the socket that $NOTIFY_SOCKET names; nothing happens where there is none.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Protocol


class Stop(Protocol):
    """Tells whether to end."""

    def is_set(self) -> bool:
        """Whether it is time."""


class ServiceManager:
    """Tells how the command is; a lost datagram is not told twice, since the next one follows."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Reads $NOTIFY_SOCKET (a path, or @name of an abstract socket) and $WATCHDOG_USEC (microseconds)."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        # Twice in a period, as the protocol's manual advises.
        self._period_s = int(environment.get("WATCHDOG_USEC", "0")) / 2e6
        self._next_s = 0.0

    @property
    def present(self) -> bool:
        """Whether there is one."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """The command has started and does its work."""
        self._send(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """The command begins to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog, where one is set and it is time."""
        if self._period_s and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + self._period_s
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            try:
                sender.sendto(text.encode(), socket.MSG_DONTWAIT, self._address)
            except (BlockingIOError, FileNotFoundError, ConnectionRefusedError):
                return  # the manager is busy, or not there any more: the work goes on


class Watched:
    """A stop signal that feeds the watchdog each time it is asked, as long as ``moving`` holds: who asks is alive."""

    def __init__(self, stop: Stop, manager: ServiceManager, moving: Callable[[], bool]) -> None:
        self._stop, self._manager, self._moving = stop, manager, moving
        self._told = False

    def is_set(self) -> bool:
        """Whether it is time to end."""
        if self._stop.is_set():
            if not self._told:
                self._manager.stopping()
                self._told = True
            return True
        if self._moving():
            self._manager.alive()
        return False
