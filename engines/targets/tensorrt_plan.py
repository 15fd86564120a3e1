"""A TensorRT plan at work: its tensors by name, and contexts that share one memory.

NOT YET RUN on a GPU: written against the documented interface of TensorRT 11, which TensorRT 10 has had since 10.1.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import tensorrt as trt
import torch

from engines.common.errors import EngineError
from engines.pictures.geometry import Geometry
from engines.targets.cuda_slot import DeviceBuffers, Launch

MODES = ("INPUT", "OUTPUT", "OUTPUT", "OUTPUT")  # of a slot's buffers
TYPES = {"UINT8": torch.uint8, "FLOAT": torch.float32}  # TensorRT's names of them


class Log(trt.ILogger):  # type: ignore[misc]
    """Keeps the last errors of TensorRT, whose calls answer False or None, and say why only here."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self._errors: deque[str] = deque(maxlen=2)

    def log(self, severity: Any, msg: str) -> None:
        """Called by TensorRT, from any thread."""
        if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
            self._errors.append(" ".join(msg.split())[:300])

    def told(self) -> str:
        """What TensorRT said last, for the end of a message."""
        return "; ".join(self._errors) or "TensorRT does not say why"


class Plan:
    """A deserialised plan, with the template and all other constants in it, on the device."""

    def __init__(self, plan: bytes, geometry: Geometry) -> None:
        """Raises EngineError for a plan that TensorRT cannot load, or that does not have a slot's tensors."""
        self._log = Log()
        self._runtime = trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(f"TensorRT cannot load it ({self._log.told()})")
        self._names = tensor_names(self._engine, geometry)
        # For what lies between the layers, of all slots: they compute one after the other on one stream.
        size = max(int(self._engine.device_memory_size_v2), 1)
        self._memory = torch.empty(size, dtype=torch.uint8, device="cuda")  # torch aligns it to 512 bytes, 256 are asked for

    def bind(self, buffers: DeviceBuffers) -> Launch:
        """A context that reads and writes these buffers. Raises EngineError, also for a frame that cannot be enqueued."""
        context = self._engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise EngineError(
                f"TensorRT makes no execution context ({self._log.told()}); see with nvidia-smi what uses the GPU"
            )
        context.set_device_memory(self._memory.data_ptr(), self._memory.numel())
        for name, buffer in zip(self._names, buffers, strict=True):
            if not context.set_tensor_address(name, buffer.data_ptr()):
                raise EngineError(f"TensorRT does not take the buffer of its tensor {name} ({self._log.told()})")

        def launch() -> None:
            if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
                raise EngineError(f"TensorRT could not enqueue a frame ({self._log.told()})")

        return launch


def tensor_names(engine: Any, geometry: Geometry) -> tuple[str, ...]:
    """The plan's tensors in the order of a slot's buffers.

    TensorRT promises no order of them, and torch-tensorrt names them as it likes: each is known by its mode, shape and type.
    Raises EngineError when there are others, or one that is not there: its buffer would be written past its end.
    """
    there: dict[tuple[str, tuple[int, ...], torch.dtype | None], str] = {}
    told = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        mode, kind = engine.get_tensor_mode(name).name, engine.get_tensor_dtype(name).name
        shape = tuple(engine.get_tensor_shape(name))
        there[mode, shape, TYPES.get(kind)] = name
        told.append(f"{name}: {mode} {kind} {shape}")
    wanted = [
        (mode, tuple(buffer.shape), buffer.dtype)
        for mode, buffer in zip(MODES, DeviceBuffers.of(geometry, "meta"), strict=True)
    ]
    if len(told) != len(wanted) or set(there) != set(wanted):
        needed = "; ".join(f"{mode} {kind} {shape}".replace("torch.", "") for mode, shape, kind in wanted)
        raise EngineError(f"its tensors are {'; '.join(told)}, and not {needed}")
    return tuple(there[one] for one in wanted)
