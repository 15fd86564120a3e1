"""A made-up GPU in place of torch.cuda's: its memory is the processor's, and its streams do at once what is enqueued.

Whoever enqueues is written down, so that a test sees what waits for what.  Neither numbers nor times of a GPU come from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from engines.targets import cuda_slot
from engines.targets.cuda_slot import DeviceBuffers


class MadeCuda:
    """What torch.cuda has, as far as a slot asks for it."""

    def __init__(self, refuses_capture: str = "") -> None:
        self.refuses_capture = refuses_capture
        self.told: list[str] = []
        self.stack = ["default"]
        self.clock = 0.0
        self.allocations, self.free, self.integrated = 0, 4 << 30, False
        self.streams = 0

    def put_in_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have the slots use this one."""
        for name in ("Stream", "Event", "CUDAGraph"):
            monkeypatch.setattr(torch.cuda, name, _bound(self, globals()[f"_{name}"]))
        monkeypatch.setattr(torch.cuda, "stream", self._current)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: _Stream(self, self.stack[-1]))
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: self.told.append("cache emptied"))
        monkeypatch.setattr(torch.cuda, "memory_stats", lambda: {"allocation.all.allocated": self.allocations})
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (self.free, 8 << 30))
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: SimpleNamespace(is_integrated=int(self.integrated)))
        here = DeviceBuffers.of
        monkeypatch.setattr(DeviceBuffers, "of", lambda geometry, device="cpu", pinned=False: here(geometry, "cpu"))
        cuda_slot.streams.cache_clear()

    def launched(self, what: str) -> None:
        """Write down that something is enqueued on the current stream."""
        self.told.append(f"{self.stack[-1]}: {what}")

    @contextmanager
    def _current(self, stream: _Stream) -> Iterator[None]:
        self.stack.append(stream.name)
        try:
            yield
        finally:
            self.stack.pop()


def _bound(cuda: MadeCuda, kind: type) -> Callable[..., Any]:
    return lambda **words: kind(cuda, **words)


class _Stream:
    NAMES = cuda_slot.Streams._fields

    def __init__(self, cuda: MadeCuda, name: str = "") -> None:
        self.cuda, self.name = cuda, name or self.NAMES[cuda.streams]
        cuda.streams += not name

    @property
    def cuda_stream(self) -> int:
        return id(self)

    def wait_event(self, event: _Event) -> None:
        self.cuda.told.append(f"{self.name} waits for {event.recorded_on}")

    def wait_stream(self, stream: _Stream) -> None:
        self.cuda.told.append(f"{self.name} waits for {stream.name}")

    def synchronize(self) -> None:
        self.cuda.told.append(f"processor waits for {self.name}")


class _Event:
    def __init__(self, cuda: MadeCuda, enable_timing: bool = False, blocking: bool = False) -> None:
        self.cuda, self.blocking, self.recorded_on, self.at = cuda, blocking, "", 0.0

    def record(self) -> None:
        self.cuda.clock += 1
        self.recorded_on, self.at = self.cuda.stack[-1], self.cuda.clock

    def synchronize(self) -> None:
        self.cuda.told.append(f"processor {'sleeps' if self.blocking else 'spins'} until {self.recorded_on}")

    def elapsed_time(self, end: _Event) -> float:
        return end.at - self.at


class _CUDAGraph(TorchDispatchMode):
    """Keeps torch's operations between begin and end, and does them again."""

    def __init__(self, cuda: MadeCuda) -> None:
        super().__init__()
        self.cuda = cuda
        self.kept: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = []

    def capture_begin(self, capture_error_mode: str = "global") -> None:
        assert capture_error_mode == "thread_local", "else the line's own thread is refused what it enqueues"
        assert self.cuda.stack[-1] == "capture"
        self.__enter__()

    def capture_end(self) -> None:
        self.__exit__(None, None, None)
        if self.cuda.refuses_capture:
            raise RuntimeError("operation failed due to a previous error during capture")

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.cuda.refuses_capture:
            raise RuntimeError(self.cuda.refuses_capture)
        answer = func(*args, **(kwargs or {}))
        self.kept.append((func, args, kwargs or {}, answer))
        return answer

    def replay(self) -> None:
        self.cuda.launched("replay")
        for func, args, kwargs, kept in self.kept:
            kept.copy_(func(*args, **kwargs))


def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> MadeCuda:
    """Have the target cuda compile for the CPU, load and run there, its slots on a made-up GPU."""
    made = MadeCuda(refuses_capture="a package's own work is not seen here")
    made.put_in_place(monkeypatch)
    monkeypatch.setattr("engines.targets.cuda_target.device", lambda: torch.device("cpu"))
    return made
