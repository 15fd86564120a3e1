"""Change-over: another recipe takes over between two frames, while the line runs.

`inspect recipe` asks over a socket that only this box can reach.  A thread loads the next engine beside the running one; the
frames taken on before the change keep their engine and thresholds, and what is left of the old recipe goes when they are done.
Processes beside the line have their alarms published over the same socket.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq

from appliance.config.line import Line, control_address
from appliance.host.process_table import CHANGE_OVER
from appliance.host.time_limits import ORDER_ANSWER_S, ORDER_LONGEST_S, SEND_LINGER_S
from appliance.line.pipeline import Pipeline
from appliance.line.recipe_at_work import LoadedRecipe
from appliance.line.threshold_offset import tell
from appliance.messages.alarms import AlarmKind, Severity
from appliance.messages.notices import Notify
from appliance.messages.schema import RaiseAlarm, RecipeAnswer, RecipeRequest
from engines.common.errors import ConfigError, UserError

DRAIN_POLL_S = 0.005


class ChangeOver:
    """The line's side. `serve` belongs to the decision loop; the work is done in a thread of its own."""

    def __init__(
        self, line: Line, context: zmq.Context[zmq.Socket[bytes]], pipeline: Pipeline[LoadedRecipe], notify: Notify
    ) -> None:
        """Bind the socket. Raises ConfigError when it is taken."""
        self._line, self._pipeline, self._notify = line, pipeline, notify
        self._decoder = msgspec.json.Decoder(RecipeRequest | RaiseAlarm)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._outcome = RecipeAnswer("failed", "")
        self._asking: list[bytes] = []  # the envelope of whom the thread works for
        self.socket = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, int(SEND_LINGER_S * 1000))
        try:
            self.socket.bind(control_address(line))
        except zmq.ZMQError as error:
            self.socket.close()
            raise ConfigError(
                f"{line.file}: line {line.name} is running already, or calibrate has its camera ({error.strerror}); "
                "stop that first"
            ) from error

    def serve(self) -> None:
        """Take orders, and tell the outcome of the one that was worked on."""
        while self.socket.poll(0):
            *envelope, content = self.socket.recv_multipart(zmq.NOBLOCK)
            try:
                order = self._decoder.decode(content)
            except msgspec.DecodeError as error:
                self._answer(envelope, RecipeAnswer("failed", f"not a request for a recipe, nor an alarm: {error}"))
                continue
            if isinstance(order, RaiseAlarm):
                self._notify(order.severity, order.text, order.kind)
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
        loaded = LoadedRecipe(self._line, folder)
        if loaded.geometry.frame != running.geometry.frame:
            loaded.close()
            (width, height), (now_width, now_height) = loaded.geometry.frame, running.geometry.frame
            raise ConfigError(
                f"{folder}: made for frames of {width} x {height} pixels, this line's are {now_width} x {now_height}; "
                "stop the line, set its camera to that size, and start it with that recipe"
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


class AlarmSender:
    """Has the line publish alarms of a process beside it, such as the bridge; used by one thread."""

    def __init__(self, line: Line) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, int(SEND_LINGER_S * 1000))
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # an alarm does not wait for a line that is not there
        self._socket.connect(control_address(line))

    def send(self, severity: Severity, text: str, kind: AlarmKind) -> bool:
        """Send without waiting; False when no line is there."""
        try:
            self._socket.send(msgspec.json.encode(RaiseAlarm(severity=severity, kind=kind, text=text)), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        """Let the connection go."""
        self._socket.close()
        self._context.term()


def ask_for_recipe(
    line: Line,
    folder: Path,
    say: Callable[[str], None],
    first_s: float = ORDER_ANSWER_S,
    longest_s: float = ORDER_LONGEST_S,
    *,
    again: bool = False,
) -> RecipeAnswer | None:
    """Have the running line change over to the recipe in ``folder``, and wait for how that ends.

    ``again``: load it anew, and only if it is the one that runs.  None when no line answers within ``first_s``; `loading` when
    it has not ended within ``longest_s``.
    """
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(control_address(line))
        socket.send(msgspec.json.encode(RecipeRequest(str(folder.resolve()), again)))
        if not socket.poll(int(first_s * 1000)):
            return None
        answer = msgspec.json.decode(socket.recv(), type=RecipeAnswer)
        if answer.state != "loading":
            return answer
        say(answer.text)
        if not socket.poll(int(longest_s * 1000)):
            return RecipeAnswer("loading", f"the line has not told of the end within {longest_s:g} s; see its log")
        return msgspec.json.decode(socket.recv(), type=RecipeAnswer)
