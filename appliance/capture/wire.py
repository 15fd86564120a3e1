"""What a line and its camera's process say to each other: one JSON message a datagram, pictures in shared memory."""

from __future__ import annotations

import socket

import msgspec

from appliance.config.camera import AnyCameraConfig

LARGEST = 1 << 18  # bytes of a message


class Begin(msgspec.Struct, frozen=True, tag=True):
    """To the camera: open. ``slots`` pictures of ``frame_size`` (width, height), RGB, have room in the shared memory."""

    camera: AnyCameraConfig
    file: str  # the line's, for messages
    deadline_ms: int
    frame_size: tuple[int, int]
    slots: int


class Free(msgspec.Struct, frozen=True, tag=True):
    """To the camera: a place in the shared memory may be used again."""

    slot: int


class Halt(msgspec.Struct, frozen=True, tag=True):
    """To the camera: stop, send what is left, close, end."""


class Opened(msgspec.Struct, frozen=True, tag=True):
    """From the camera: it grabs."""

    simulated: bool
    channels: int | None = None


class Failed(msgspec.Struct, frozen=True, tag=True):
    """From the camera, its last word. ``lost``: worth another try."""

    text: str
    lost: bool


class Brought(msgspec.Struct, frozen=True, tag=True):
    """From the camera: a `Frame`; its picture of this shape lies in ``slot``, None where there is none."""

    number: int
    captured_ns: int
    camera_time: int
    fault: str | None
    silent: bool = False
    slot: int | None = None
    shape: tuple[int, ...] = ()
    recount: str | None = None


class Alive(msgspec.Struct, frozen=True, tag=True):
    """From the camera, every `CAMERA_ALIVE_S`: the process lives at ``sent_ns`` and began its step at ``moved_ns`` (monotonic).

    Both are its own word: the line may read this late, when it did not move itself.
    """

    moved_ns: int
    sent_ns: int


class Halted(msgspec.Struct, frozen=True, tag=True):
    """From the camera: closed, nothing more comes."""


Order = Begin | Free | Halt
Report = Opened | Failed | Brought | Alive | Halted


class Channel:
    """One end of a pair of SOCK_SEQPACKET sockets; ``hears`` is the type of what arrives."""

    def __init__(self, end: socket.socket, hears: object) -> None:
        self._end = end
        self._encoder = msgspec.json.Encoder(enc_hook=str)  # paths
        self._decoder: msgspec.json.Decoder[object] = msgspec.json.Decoder(hears, dec_hook=_value)

    def fileno(self) -> int:
        """For `select.poll`."""
        return self._end.fileno()

    def send(self, message: Order | Report) -> None:
        """Send; any thread. Raises OSError when the other end is gone."""
        self._end.send(self._encoder.encode(message))

    def receive(self) -> object:
        """The next message, waiting for it; None when the other end is gone."""
        try:
            content = self._end.recv(LARGEST)
        except ConnectionResetError:
            return None
        return self._decoder.decode(content) if content else None

    def close(self) -> None:
        """Close this end."""
        self._end.close()


def _value(kind: type, value: object) -> object:
    """What msgspec has no type for: a camera's table, of the kind that it names, or a path."""
    if isinstance(value, dict) and issubclass(kind, AnyCameraConfig):
        return msgspec.convert(value, kind.struct_of(value["kind"]), dec_hook=_value)
    return kind(value)
