"""Publishing: verdicts, heartbeats and alarms over ZeroMQ, and a socket that answers what was missed.

Used by one thread, the decision loop: a heartbeat is then proof that verdicts are being given.  Publishing never waits: a
subscriber that is too slow loses messages, sees that by `seq`, and asks the snapshot socket.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

import msgspec
import zmq

from appliance.config.publish import PublishConfig
from appliance.host.process_table import SNAPSHOT, VERDICTS
from appliance.host.time_limits import HEARTBEAT_PERIOD_S, SEND_LINGER_S
from appliance.messages.clock import utc_now
from appliance.messages.curve_keys import ServerKeys
from appliance.messages.part_numbers import PartNumber, PartNumbers
from appliance.messages.schema import TOPICS, Alarm, Heartbeat, SnapshotRequest, State, Verdict
from engines.common.errors import ConfigError

KEPT = 1_024  # verdicts that the snapshot socket can answer with
SEND_QUEUE = 1_000  # messages waiting for one slow subscriber before it loses some


class Publisher:
    """The line's two sockets, and what it has published of each epoch."""

    def __init__(self, line: str, config: PublishConfig, file: Path, simulated: bool, numbers: PartNumbers) -> None:
        """Bind both sockets; ``numbers`` owns epochs and part numbers.

        Raises ConfigError, naming the line's ``file``, when an address is taken or cannot be had.
        """
        self.line = line
        self.simulated = simulated
        self.numbers = numbers
        self._seen = numbers.seen  # as told
        self.late_results = 0
        self.state: State = "starting"
        self.passed = 0
        self.rejected: dict[str, int] = {}
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(SnapshotRequest)
        self._topics = {topic.name: topic.of(line) for topic in TOPICS}
        self._next_heartbeat = 0.0
        self.context = zmq.Context()
        self._keys: ServerKeys | None = None
        self._pub = self.context.socket(zmq.PUB)
        self._pub.setsockopt(zmq.SNDHWM, SEND_QUEUE)
        self.snapshot_socket = self.context.socket(zmq.ROUTER)
        try:
            if config.keys:
                self._keys = ServerKeys(self.context, config.keys)
            for socket, address, row in (
                (self._pub, config.verdicts, VERDICTS),
                (self.snapshot_socket, config.snapshot, SNAPSHOT),
            ):
                socket.setsockopt(
                    zmq.LINGER, int(SEND_LINGER_S * 1000)
                )  # the last verdict still goes out, a dead peer holds nobody up
                if self._keys:
                    self._keys.protect(socket)
                try:
                    socket.bind(address)
                except zmq.ZMQError as error:
                    raise ConfigError(
                        f"{file}: {row.setting}: {address} cannot be bound ({error.strerror}); "
                        "is this line running already? else choose another port"
                    ) from error
        except BaseException:
            self.close()
            raise

    @property
    def epoch(self) -> int:
        """The epoch that is published."""
        return self.numbers.settled.epoch

    @property
    def seq(self) -> int:
        """Of the newest verdict; 0 before the first of an epoch."""
        return self.numbers.settled.id

    def follow(self, epoch: int) -> None:
        """Take on a new epoch: verdicts are numbered from 1 again, and those of the one before are of no use any more."""
        if epoch > self.epoch:
            self.numbers.follow(epoch)
            self._kept.clear()
            self._next_heartbeat = 0.0

    def publish_verdict(self, verdict: Verdict) -> bytes:
        """Send a verdict, and keep it for the snapshot socket; its `seq` must be the next one. Returns what was sent."""
        self.follow(verdict.epoch)
        self.numbers.settle(PartNumber(verdict.epoch, verdict.seq, verdict.frame))
        content = self._encoder.encode(verdict)
        self._kept.append((verdict.seq, content))
        self._pub.send_multipart((self._topics["verdict"], content), zmq.NOBLOCK)
        if verdict.verdict == "pass":
            self.passed += 1
        else:
            self._pub.send_multipart((self._topics["reject"], content), zmq.NOBLOCK)
            self.rejected[verdict.reason] = self.rejected.get(verdict.reason, 0) + 1
        return content

    def publish_alarm(self, alarm: Alarm) -> None:
        """Send an alarm."""
        self._pub.send_multipart((self._topics["alarm"], self._encoder.encode(alarm)), zmq.NOBLOCK)

    def change_state(self, state: State) -> None:
        """Take on a state and tell it at once."""
        if state != self.state:
            self.state = state
            self._next_heartbeat = 0.0
            self.beat()

    def beat(self) -> float:
        """Send a heartbeat if one is due, or a picture has come: a PLC counts those. Returns the seconds until the next."""
        now, seen = time.monotonic(), self.numbers.seen
        if now >= self._next_heartbeat or seen != self._seen:
            self._seen = seen
            beat = Heartbeat(
                line=self.line,
                epoch=self.epoch,
                seq=self.seq,
                seen=seen,
                time=utc_now(),
                state=self.state,
                simulated=self.simulated,
                passed=self.passed,
                rejected=self.rejected,
                late_results=self.late_results,
            )
            self._pub.send_multipart((self._topics["heartbeat"], self._encoder.encode(beat)), zmq.NOBLOCK)
            self._next_heartbeat = now + HEARTBEAT_PERIOD_S
        return max(0.0, self._next_heartbeat - now)

    def answer_snapshots(self) -> None:
        """Answer every request that waits; a request that cannot be read is answered with everything kept."""
        while self.snapshot_socket.poll(0):
            *envelope, content = self.snapshot_socket.recv_multipart(zmq.NOBLOCK)
            try:
                request = self._decoder.decode(content)
            except msgspec.DecodeError:
                request = SnapshotRequest(0, 0)
            after = request.seq if request.epoch == self.epoch else 0
            verdicts = [msgspec.Raw(kept) for seq, kept in self._kept if seq > after]
            answer = {"line": self.line, "epoch": self.epoch, "seq": self.seq, "verdicts": verdicts}
            self.snapshot_socket.send_multipart([*envelope, self._encoder.encode(answer)], zmq.NOBLOCK)

    def close(self) -> None:
        """Close both sockets."""
        self._pub.close()
        self.snapshot_socket.close()
        if self._keys:
            self._keys.close()
        self.context.term()
