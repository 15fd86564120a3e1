"""What flows through the stand-in for TensorRT's network: tensors, and layers that infer their outputs' shapes when asked.

A converter adds a layer and sets its attributes afterwards; hence nothing is inferred before somebody looks.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

BYTES = {"FLOAT": 4, "HALF": 2, "BF16": 2, "INT8": 1, "UINT8": 1, "BOOL": 1, "INT32": 4, "INT64": 8}
Shape = tuple[int, ...]
Seen = tuple[Shape, Any]  # a tensor's shape, and its type as TensorRT names it


class Tensor:
    """Takes the place of `ITensor`."""

    is_shape_tensor, is_execution_tensor, location = False, True, None

    def __init__(self, source: Layer | None, index: int, given: Seen | None = None) -> None:
        """``given``: of an input; else the layer that makes it is asked."""
        self.source, self._index, self._given = source, index, given
        self.name, self.is_network_input, self.allowed_formats = f"tensor {id(self)}", source is None, 0

    @property
    def shape(self) -> Shape:
        """Never dynamic: our graphs are not."""
        return self._seen[0]

    @property
    def dtype(self) -> Any:
        """Of TensorRT's `DataType`."""
        return self._seen[1]

    @property
    def nbytes(self) -> int:
        """What writing it costs."""
        return math.prod(self.shape) * BYTES[str(self.dtype).rpartition(".")[2]]

    @property
    def _seen(self) -> Seen:
        if self._given is not None:
            return self._given
        assert self.source is not None, "a tensor is an input, or a layer's"
        return self.source.outputs_seen()[self._index]


class Layer:
    """Takes the place of `ILayer` and its kinds; attributes that a converter sets are kept, and read by the shape's rule."""

    def __init__(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        infer: Callable[[Layer], Seen | list[Seen]],
        outputs: int = 1,
        **usual: Any,
    ) -> None:
        self.__dict__.update(usual)
        self.kind, self.inputs, self.infer, self.num_outputs = kind, list(inputs), infer, outputs
        self.name, self.metadata, self.type = kind, "", SimpleNamespace(name=kind.upper())
        self.outputs = [Tensor(self, index) for index in range(outputs)]

    num_inputs = property(lambda self: len(self.inputs))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name} of a {self.__dict__.get('kind', 'layer')} was read before it was set")

    def get_input(self, index: int) -> Tensor | None:
        """See `ILayer.get_input`."""
        return self.inputs[index]

    def set_input(self, index: int, tensor: Tensor) -> None:
        """See `ILayer.set_input`; the optional ones lie behind the others."""
        inputs = self.inputs + [None] * (index + 1 - len(self.inputs))
        inputs[index] = tensor
        self.inputs = inputs

    def get_output(self, index: int) -> Tensor:
        """See `ILayer.get_output`."""
        output: Tensor = self.outputs[index]
        return output

    def __setattr__(self, name: str, value: object) -> None:
        self.__dict__.update({name: value, "_seen": None})

    def outputs_seen(self) -> list[Seen]:
        """Shapes and types of all outputs, by the attributes as they are now."""
        if self.__dict__.get("_seen") is None:
            seen = self.infer(self)
            self.__dict__["_seen"] = seen if isinstance(seen, list) else [seen]
        found: list[Seen] = self.__dict__["_seen"]
        return found

    @functools.cached_property
    def constant(self) -> bool:
        """Whether it only depends on constants: TensorRT computes it once, at build time, and keeps it as a weight."""
        given = [one for one in self.inputs if one is not None]
        return self.kind == "constant" or (bool(given) and all(one.source is not None and one.source.constant for one in given))
