"""Orders to a running line: where it takes them, and who sends them.

A line takes orders over a socket that only this box can reach.  `inspect recipe` and `inspect sensitivity` have it load a
recipe; processes beside the line, such as the bridge, have their alarms published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq

from appliance.config.publish import PublishConfig
from appliance.host.time_limits import ORDER_ANSWER_S, ORDER_LONGEST_S, SEND_LINGER_S
from appliance.messages.alarms import AlarmKind, Severity
from appliance.messages.schema import CountAnew, RaiseAlarm, RecipeAnswer, RecipeRequest
from engines.common.errors import ConfigError


def orders_address(line: str, publish: PublishConfig) -> str:
    """Where a line takes orders: an abstract socket of this box, one for each place that lines publish at."""
    place = hashlib.sha256(publish.verdicts.encode()).hexdigest()[:16]
    return f"ipc://@tfa-inspect-{line}-{place}"


def take_orders(context: zmq.Context[zmq.Socket[bytes]], line: str, publish: PublishConfig, file: Path) -> zmq.Socket[bytes]:
    """The line's end, bound. Raises ConfigError, naming the line's ``file``, when the address is taken."""
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.LINGER, int(SEND_LINGER_S * 1000))
    try:
        socket.bind(orders_address(line, publish))
    except zmq.ZMQError as error:
        socket.close()
        raise ConfigError(
            f"{file}: line {line} is running already, or calibrate has its camera ({error.strerror}); stop that first"
        ) from error
    return socket


class OrderSender:
    """Has a line publish alarms of a process beside it, or count its parts anew; used by one thread."""

    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, int(SEND_LINGER_S * 1000))
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # an alarm does not wait for a line that is not there
        self._socket.connect(address)

    def raise_alarm(self, severity: Severity, text: str, kind: AlarmKind) -> bool:
        """Send without waiting; False when no line is there."""
        return self._send(RaiseAlarm(severity=severity, kind=kind, text=text))

    def count_anew(self, why: str) -> bool:
        """Send without waiting; False when no line is there."""
        return self._send(CountAnew(why=why))

    def _send(self, order: RaiseAlarm | CountAnew) -> bool:
        try:
            self._socket.send(msgspec.json.encode(order), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def close(self) -> None:
        """Let the connection go."""
        self._socket.close()
        self._context.term()


def ask_for_recipe(
    address: str,
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
        socket.connect(address)
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
