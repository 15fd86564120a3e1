"""A subscriber that loses nothing silently: it counts `seq`, and asks the snapshot socket for what it missed."""

from __future__ import annotations

import time
from collections import deque
from typing import TypeVar

import msgspec
import zmq

from appliance.config.publish import PublishConfig
from appliance.host.time_limits import RECONNECT_S, SNAPSHOT_ANSWER_S
from appliance.messages.curve_keys import use_client_keys
from appliance.messages.schema import TOPICS, Alarm, Heartbeat, Snapshot, SnapshotRequest, Verdict

RECEIVE_QUEUE = 10_000
Message = Verdict | Heartbeat | Alarm
T = TypeVar("T")


class Subscriber:
    """Listens to one line; used by one thread."""

    def __init__(
        self, line: str, config: PublishConfig, client: str, rejects_only: bool = False, catch_up: bool = False
    ) -> None:
        """Connect as ``client`` (matters only where the line uses keys).

        ``rejects_only`` hears rejects and alarms, without counting. ``catch_up`` asks for what was published before.
        """
        self._config, self._client = config, client
        self._counting = not rejects_only
        self._catch_up = catch_up
        self._epoch: int | None = None
        self._seq = 0
        self._waiting: deque[Message] = deque()
        self.lost = 0  # verdicts that could not be had any more
        self._context = zmq.Context()
        try:
            self._sub = self._socket(zmq.SUB)
        except BaseException:
            self._context.destroy(0)
            raise
        self._sub.setsockopt(zmq.RCVHWM, RECEIVE_QUEUE)
        self._sub.setsockopt(zmq.RECONNECT_IVL, int(RECONNECT_S * 1000))  # a line that starts is heard before its first parts
        for topic in TOPICS:
            if topic.stream in ("both", "rejects" if rejects_only else "all"):
                self._sub.subscribe(topic.of(line))
        self._sub.connect(config.verdicts)
        self._decoders = {topic.of(line): msgspec.json.Decoder(topic.message) for topic in TOPICS}

    def receive(self, timeout_s: float) -> Message | None:
        """The next message in order, or None after the timeout."""
        if not self._waiting and self._sub.poll(max(0, int(timeout_s * 1000))):
            topic, content = self._sub.recv_multipart()
            self._take(self._decoders[topic].decode(content))
        return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Close the socket."""
        self._sub.close(0)
        self._context.term()

    def _take(self, message: Message) -> None:
        if not self._counting or isinstance(message, Alarm):
            self._waiting.append(message)
            return
        first_contact = self._epoch is None
        if message.epoch != self._epoch:
            self._epoch = message.epoch
            start_here = first_contact and not self._catch_up
            self._seq = message.seq - isinstance(message, Verdict) if start_here else 0
        expected = message.seq - 1 if isinstance(message, Verdict) else message.seq
        if self._seq < expected:
            self._fetch_missed(expected)
        if isinstance(message, Heartbeat):
            self._waiting.append(message)
        elif message.seq > self._seq:
            self._seq = message.seq
            self._waiting.append(message)

    def _fetch_missed(self, up_to: int) -> None:
        """Put what the snapshot socket still has after our `seq` into the queue; count what it has not."""
        assert self._epoch is not None, "a message has set it"
        for verdict in self._ask_snapshot(SnapshotRequest(self._epoch, self._seq)):
            if verdict.epoch == self._epoch and verdict.seq > self._seq:
                self.lost += verdict.seq - self._seq - 1
                self._seq = verdict.seq
                self._waiting.append(verdict)
        if self._seq < up_to:
            self.lost += up_to - self._seq
            self._seq = up_to

    def _ask_snapshot(self, request: SnapshotRequest) -> tuple[Verdict, ...]:
        with self._socket(zmq.DEALER) as socket:
            socket.connect(self._config.snapshot)
            socket.send(msgspec.json.encode(request))
            return (
                msgspec.json.decode(socket.recv(), type=Snapshot).verdicts if socket.poll(int(SNAPSHOT_ANSWER_S * 1000)) else ()
            )

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        if self._config.keys:
            use_client_keys(socket, self._config.keys, self._client)
        return socket


class Liveness:
    """Whether a line was heard of within its heartbeats."""

    def __init__(self, longest_silence_s: float) -> None:
        self._longest = longest_silence_s
        self._heard = -float("inf")

    def heard(self) -> None:
        """A heartbeat has come."""
        self._heard = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the last heartbeat is young enough."""
        return self.left_s >= 0

    @property
    def left_s(self) -> float:
        """Seconds until the line counts as gone, if nothing is heard; negative when it has gone."""
        return self._heard + self._longest - time.monotonic()
