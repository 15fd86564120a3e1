"""What the service manager is told: ready, alive only while every stage moves, stopping."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.host.service_manager import ServiceManager, Watched
from appliance.line.running_line import RunningLine
from engines.recipe.bundle import Recipe
from tests.appliance.conftest import Floats, MadeEngine, MakeLine, inspect_process, verdicts_of, wait_for


class Manager:
    """Stands where systemd does: hears datagrams."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        """All that was heard so far."""
        while True:
            try:
                self.heard.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return self.heard


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.socket.close()


class _Stop:
    def __init__(self) -> None:
        self.now = False

    def is_set(self) -> bool:
        return self.now


def _told(manager: Manager, watchdog_us: int = 0) -> ServiceManager:
    return ServiceManager({"NOTIFY_SOCKET": manager.socket.getsockname(), "WATCHDOG_USEC": str(watchdog_us)})


def test_ready_and_stopping_are_told_once(manager: Manager) -> None:
    service, stop = _told(manager), _Stop()
    watched = Watched(stop, service, lambda: True)
    service.ready("recipe bracket on torch float32")
    assert not watched.is_set()
    stop.now = True
    assert watched.is_set()
    assert watched.is_set()
    assert manager.listen() == ["READY=1\nSTATUS=recipe bracket on torch float32", "STOPPING=1"]


def test_the_watchdog_is_fed_twice_a_period_and_only_while_things_move(manager: Manager) -> None:
    moving = True
    watched = Watched(_Stop(), _told(manager, watchdog_us=200_000), lambda: moving)
    wait_for(lambda: not watched.is_set() and len(manager.listen()) >= 3, "three feeds")
    assert set(manager.heard) == {"WATCHDOG=1"}
    moving = False
    fed = len(manager.listen())
    for _ in range(5):
        watched.is_set()
        threading.Event().wait(0.1)
    assert len(manager.listen()) == fed


def test_an_abstract_socket_is_reached_and_an_absent_manager_is_no_fault(tmp_path: Path) -> None:
    manager = Manager("\0inspect-test-notify")
    ServiceManager({"NOTIFY_SOCKET": "@inspect-test-notify"}).ready("")
    assert manager.listen() == ["READY=1\nSTATUS="]
    manager.socket.close()
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}, {"NOTIFY_SOCKET": "@inspect-test-notify"}):
        ServiceManager(environment).ready("")


def test_a_line_tells_its_service_manager(
    tmp_path: Path,
    manager: Manager,
    make_line: MakeLine,
    built: Recipe,
    parts_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.socket.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "500000")
    camera = {"kind": "replay", "source": str(parts_folder), "rate": 20, "loop": True}
    line = make_line(recipe=built.folder, camera=camera, engine={"target": "openvino", "precision": "float32"})
    with inspect_process(
        "run", "--line", line.name, "--config-dir", line.file.parent, stdout=tmp_path / "run.jsonl"
    ) as process:
        wait_for(lambda: any("READY=1" in text for text in manager.listen()), "READY", 60)
        wait_for(lambda: "WATCHDOG=1" in manager.listen(), "a feed")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert manager.listen()[-1] == "STOPPING=1"


def test_a_line_whose_engine_hangs_does_not_count_as_moving(
    make_line: MakeLine, recipe: Recipe, made_engine: MadeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.line.pipeline.STALLED_S", 0.3)
    goes_on = threading.Event()

    def act(call: int, _map: Floats, _scores: Floats) -> None:
        if call == 3:
            goes_on.wait(30)

    made_engine.act = act
    running = RunningLine(make_line(recipe=recipe.folder))
    try:
        assert running.moving
        running.start()
        wait_for(lambda: not running.moving, "the stall to be seen")
        goes_on.set()
        wait_for(lambda: running.moving, "the line to move again")
    finally:
        goes_on.set()
        running.close()
    assert len(verdicts_of(list(running.events))) >= 3
