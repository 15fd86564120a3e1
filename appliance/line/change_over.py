"""Change-over: another recipe takes over between two frames, while the line runs.

Who asks, and where, is in `appliance.messages.orders`.  A thread loads the next engine beside the running one; the frames taken
on before the change keep their engine and thresholds, and what is left of the old recipe goes when they are done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq

from appliance.host.process_table import CHANGE_OVER
from appliance.line.pipeline import Pipeline
from appliance.line.recipe_at_work import LoadedRecipe
from appliance.line.threshold_offset import tell
from appliance.messages.notices import Notify
from appliance.messages.schema import CountAnew, RaiseAlarm, RecipeAnswer, RecipeRequest
from engines.common.errors import ConfigError, UserError
from engines.pictures.picture_kind import OF

DRAIN_POLL_S = 0.005


class ChangeOver:
    """The line's side. `serve` belongs to the decision loop; the work is done in a thread of its own."""

    def __init__(
        self,
        orders: zmq.Socket[bytes],
        pipeline: Pipeline[LoadedRecipe],
        load: Callable[[Path], LoadedRecipe],
        notify: Notify,
        count_anew: Callable[[str], None],
    ) -> None:
        """Takes the bound socket over; ``load`` a recipe's folder raises UserError kinds; ``count_anew`` begins an epoch."""
        self.socket, self._pipeline, self._load, self._notify = orders, pipeline, load, notify
        self._count_anew = count_anew
        self._decoder = msgspec.json.Decoder(RecipeRequest | RaiseAlarm | CountAnew)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._outcome = RecipeAnswer("failed", "")
        self._asking: list[bytes] = []  # the envelope of whom the thread works for

    def serve(self) -> None:
        """Take orders, and tell the outcome of the one that was worked on."""
        while self.socket.poll(0):
            *envelope, content = self.socket.recv_multipart(zmq.NOBLOCK)
            try:
                order = self._decoder.decode(content)
            except msgspec.DecodeError as error:
                self._answer(envelope, RecipeAnswer("failed", f"no order that a line takes: {error}"))
                continue
            if isinstance(order, RaiseAlarm):
                self._notify(order.severity, order.text, order.kind)
            elif isinstance(order, CountAnew):
                self._count_anew(order.why)
            else:
                self._answer(envelope, self._begin(envelope, order))
        if self._thread is not None and not self._thread.is_alive():
            self._thread.join()
            self._thread = None
            self._answer(self._asking, self._outcome)

    def close(self) -> None:
        """Wait for the work begun, and close the socket; used by the thread that ran `serve`, or after it."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
            self._answer(self._asking, self._outcome)
        self.socket.close()

    def _answer(self, envelope: list[bytes], answer: RecipeAnswer) -> None:
        self.socket.send_multipart([*envelope, msgspec.json.encode(answer)], zmq.NOBLOCK)

    def _begin(self, envelope: list[bytes], order: RecipeRequest) -> RecipeAnswer:
        if self._thread is not None:
            return RecipeAnswer("failed", "another change-over is under way; wait for its end")
        folder, running = Path(order.recipe), self._pipeline.station.recipe
        if order.again and folder != running.folder.resolve():
            return RecipeAnswer("failed", f"it runs {running.folder}, and its file names {folder}: change it over first")
        self._asking = envelope
        self._thread = threading.Thread(target=self._change, args=(folder,), name=CHANGE_OVER.name)
        self._thread.start()
        return RecipeAnswer("loading", f"loading {folder.name}")

    def _change(self, folder: Path) -> None:
        try:
            self._outcome = RecipeAnswer("changed", self._load_and_change(folder))
        except Exception as error:  # noqa: BLE001 - told to who asked, and as an alarm; the line goes on with what it has
            text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            self._outcome = RecipeAnswer("failed", text)
            self._notify("error", f"the recipe was not changed: {text}", "recipe")

    def _load_and_change(self, folder: Path) -> str:
        running = self._pipeline.station
        loaded = self._load(folder)
        if loaded.geometry.frame != running.geometry.frame:
            loaded.close()
            (width, height), (now_width, now_height) = loaded.geometry.frame, running.geometry.frame
            raise ConfigError(
                f"{folder}: made for frames of {width} x {height} pixels, this line's are {now_width} x {now_height}; "
                "stop the line, set its camera to that size, and start it with that recipe"
            )
        if {loaded.geometry.channels, running.geometry.channels} == {1, 3}:
            loaded.close()
            raise ConfigError(
                f"{folder}: made from pictures {OF[loaded.geometry.channels or 3]}, this line's are not; stop the line, set "
                "camera.features.PixelFormat to such a format, and start it with that recipe"
            )
        before = self._pipeline.change(loaded)
        while before.frames and not self._closing.wait(DRAIN_POLL_S):
            pass
        if not before.frames:  # else the line has broken down, and its frames will never come back
            before.close()
        text = f"recipe {loaded.recipe.name} took over from {before.recipe.name}"
        self._notify("info", text)
        tell(loaded.sensitivity, before.sensitivity, self._notify)
        if loaded.caution:
            self._notify("warning", loaded.caution)
        return text
