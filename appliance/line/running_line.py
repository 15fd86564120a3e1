"""A running line: equipment, capture and decision, wired together.

Two threads of its own besides the equipment's: capture (grab, submit) and the decision loop (results, verdicts, heartbeat).
"""

from __future__ import annotations

import sys
import threading
from collections import deque

import cv2

from appliance.config.line import Line
from appliance.line.capture_thread import Capture
from appliance.line.decision_loop import DecisionLoop
from appliance.line.equipment import Equipment
from appliance.line.threshold_offset import Sensitivity, tell
from appliance.messages.announcer import Announcer
from appliance.messages.notices import Event

SWITCH_INTERVAL_S = 0.0005


class RunningLine:
    """One line at work, from construction until `close`."""

    def __init__(self, line: Line, parts: int | None = None, wait_for_camera: bool = False) -> None:
        """Open all that the line needs; ``parts``: stop after so many verdicts.

        ``wait_for_camera``: go on without a camera that is absent, and take it up when it comes.
        Raises UserError kinds; nothing stays open then.
        """
        self._stop = threading.Event()
        self._announcer = Announcer()
        notify = self._announcer.notify
        self._equipment = Equipment(line, notify, wait_for_camera)
        self._pipeline, self._publisher = self._equipment.pipeline, self._equipment.publisher
        loaded = self._pipeline.station
        tell(loaded.sensitivity, Sensitivity(), notify)
        if loaded.caution:
            notify("warning", loaded.caution)
        self._capture = Capture(
            line.config.camera,
            line.config.decision,
            self._equipment.camera,
            self._pipeline,
            self._publisher.numbers,
            self._stop,
            notify,
            parts,
        )
        self._decision = DecisionLoop(self._equipment, self._capture, self._announcer, self._stop)

    @property
    def events(self) -> deque[Event]:
        """What it has told, for who looks on to take; the oldest go when nobody does."""
        return self._announcer.events

    @property
    def recipe_name(self) -> str:
        """Name of the recipe that runs."""
        return self._pipeline.station.recipe.name

    @property
    def engine_target(self) -> str:
        """What computes."""
        return self._pipeline.station.engine.target

    @property
    def counts(self) -> tuple[int, dict[str, int]]:
        """Passes, and rejects by reason, so far."""
        return self._publisher.passed, dict(self._publisher.rejected)

    @property
    def late_results(self) -> int:
        """Results that came after their part's verdict."""
        return self._pipeline.late_results

    @property
    def state(self) -> str:
        """The state that heartbeats tell."""
        return self._publisher.state

    @property
    def running(self) -> bool:
        """Whether verdicts are still to come."""
        return self._decision.running

    @property
    def moving(self) -> bool:
        """Whether every stage is alive and moves; a line that stops in order counts as moving until its end."""
        return self._decision.moving and self._capture.moving and self._pipeline.moving

    def start(self) -> None:
        """Begin to inspect."""
        # An engine that is called from Python takes the interpreter's lock hundreds of times a frame; with the usual 5 ms a
        # thread that decodes or logs would hold it up each time.
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        # OpenCV's helpers wait for work by spinning, on the cores that the engine computes on.
        cv2.setNumThreads(1)
        self._decision.start()
        self._capture.start()

    def stop(self) -> None:
        """Ask to stop: frames in flight still get their verdict."""
        self._stop.set()

    def close(self) -> None:
        """Wait for the end, and let everything go. Raises what broke the line, if something did."""
        self._stop.set()
        self._capture.join()
        self._decision.join()
        try:
            self._equipment.close()
        finally:  # what broke the line is told, and not what could not be closed after it
            for failure in (self._capture.failure, self._decision.failure):
                if failure is not None:
                    raise failure
