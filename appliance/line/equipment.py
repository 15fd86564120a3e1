"""What a running line has open, from its camera to its records: opened whole or not at all, and closed in order.

Here the line's file is taken apart: each part is given its own section of it.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from appliance.capture import Camera, make_camera
from appliance.capture.supervised import SupervisedCamera
from appliance.config.camera import CameraConfig
from appliance.config.line import Line, need_journal
from appliance.line.challenge_watch import ChallengeWatch, conditions_of
from appliance.line.change_over import ChangeOver
from appliance.line.picture_kind import need_kind
from appliance.line.pipeline import Pipeline
from appliance.line.recipe_at_work import LoadedRecipe, recipe_of
from appliance.line.threshold_offset import Bound
from appliance.line.trigger_safety import need_safe_trigger
from appliance.messages.notices import Notify
from appliance.messages.orders import take_orders
from appliance.messages.part_numbers import PartNumbers
from appliance.messages.publisher import Publisher
from appliance.records.challenge_record import need_challenge
from appliance.records.recorder import Recorder


class Equipment:
    """A line's parts, open from construction until `close`."""

    camera: Camera
    challenge_watch: ChallengeWatch | None = None

    def __init__(self, line: Line, notify: Notify, wait_for_camera: bool) -> None:
        """Load recipe and engine, open the camera, bind the sockets. ``wait_for_camera``: an absent one is no error.

        Raises UserError kinds; nothing stays open then.
        """
        self._line, self._notify = line, notify
        config = line.config
        need_safe_trigger(line)
        with ExitStack() as opened:
            if isinstance(config.camera, CameraConfig):  # its process starts while the engine is loaded
                supervised = self.camera = SupervisedCamera(
                    config.camera, line.file, config.decision.deadline_ms, config.engine.slots, notify, wait_for_camera
                )
                opened.callback(supervised.close)
                loaded = self._load(config.recipe)
                opened.callback(loaded.close)
                supervised.frame_size = loaded.geometry.frame
            else:
                loaded = self._load(config.recipe)
                opened.callback(loaded.close)
                self.camera = make_camera(config.camera, line.file, loaded.geometry.frame, config.decision.deadline_ms)
                opened.callback(self.camera.close)
            if config.challenge:
                need_challenge(config.challenge, need_journal(line), conditions_of(loaded))
            self.camera.open()
            need_kind(self.camera.channels, loaded.geometry, line.file)
            self.publisher = Publisher(line.name, config.publish, line.file, self.camera.simulated, PartNumbers(notify))
            opened.callback(self.publisher.close)
            self.recorder = Recorder(config.journal, config.archive, line.name, notify)
            opened.callback(self.recorder.close)
            self.pipeline = Pipeline(loaded)
            opened.callback(self.pipeline.close)
            orders = take_orders(self.publisher.context, line.name, config.publish, line.file)
            self.change_over = ChangeOver(orders, self.pipeline, self._load, notify, self._count_anew)
            opened.pop_all()
        if config.challenge and config.challenge.every_hours:
            self.challenge_watch = ChallengeWatch(
                config.challenge, need_journal(line), lambda: conditions_of(self.pipeline.station), notify
            )

    def close(self) -> None:
        """Let everything go, when capture and decision have ended."""
        self.change_over.close()
        if self.challenge_watch:
            self.challenge_watch.close()
        self.pipeline.close()
        self.pipeline.station.close()
        self.camera.close()
        self.publisher.close()
        self.recorder.close()

    def _count_anew(self, why: str) -> None:
        """The PLC's count is another than the line's; only of triggers that the PLC fires does it tell anything."""
        if self._line.config.camera.trigger == "hardware":
            self.publisher.numbers.ask(why)
        else:
            self._notify("warning", f"{why}; camera.trigger is not hardware: the PLC does not trigger this line", "part-count")

    def _load(self, folder: Path) -> LoadedRecipe:
        return LoadedRecipe(recipe_of(self._line, folder), self._line.config.engine, Bound.of(self._line))
