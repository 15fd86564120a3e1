"""A bridge at work beside a foreign PLC, and what it has heard of it."""

from __future__ import annotations

import threading

from appliance.config.line import Line, need_plc
from appliance.plc import Plc
from appliance.plc.bridge import Bridge
from appliance.plc.image import LineBlock, PlcBlock
from tests.appliance.conftest import listen, plc_of


class Overheard:
    """A bridge's PLC, and what the bridge has heard of it last."""

    def __init__(self, plc: Plc) -> None:
        self._plc = plc
        self.heard = PlcBlock()
        self.connect, self.close = plc.connect, plc.close

    def exchange(self, line: LineBlock) -> PlcBlock:
        self.heard = self._plc.exchange(line)
        return self.heard


class Carrying:
    """A bridge at work in a thread, and why it had parts counted anew."""

    def __init__(self, line: Line) -> None:
        self.said: list[str] = []
        self.recounts: list[str] = []
        self.plc = Overheard(plc_of(line))
        self._stop = threading.Event()
        self._subscriber = listen(line, "plc")
        self.bridge = Bridge(
            self._subscriber,
            self.plc,
            need_plc(line).silent_ms / 1000,
            lambda _level, text, _details: self.said.append(text),
            lambda *_: True,
            self._count_anew,
        )
        self._thread = threading.Thread(target=self.bridge.run, args=(self._stop,), name="bridge")
        self._thread.start()

    def _count_anew(self, why: str) -> bool:
        self.recounts.append(why)
        return True

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def close(self) -> None:
        self.stop()
        self._subscriber.close()
