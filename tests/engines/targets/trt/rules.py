"""What all layers of the stand-in share: the network that they are added to, and the rules that many of them have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.engines.targets.trt.tensors import Layer, Shape, Tensor


class Rules:
    """Takes the place of `INetworkDefinition`."""

    def __init__(self, trt: Any) -> None:
        """``trt``: the real bindings, for their enumerations."""
        self._trt, self.name = trt, "stand-in"
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.layers: list[Layer] = []
        self.broken: dict[str, None] = {}  # each rule once a layer's name

    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))
    num_layers = property(lambda self: len(self.layers))

    def get_flag(self, flag: Any) -> bool:
        """Strongly typed, and nothing else."""
        return bool(flag == self._trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    def get_input(self, index: int) -> Tensor:
        """See `INetworkDefinition.get_input`."""
        return self.inputs[index]

    def get_output(self, index: int) -> Tensor:
        """See `INetworkDefinition.get_output`."""
        return self.outputs[index]

    def get_layer(self, index: int) -> Layer:
        """See `INetworkDefinition.get_layer`."""
        return self.layers[index]

    def add_input(self, name: str, dtype: Any, shape: Sequence[int]) -> Tensor:
        """See `INetworkDefinition.add_input`."""
        tensor = Tensor(None, 0, (tuple(shape), dtype))
        tensor.name = name
        self.inputs.append(tensor)
        return tensor

    def mark_output(self, tensor: Tensor) -> None:
        """See `INetworkDefinition.mark_output`."""
        self.outputs.append(tensor)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("add_"):
            raise NotImplementedError(f"{name} is not modelled: give its rule here")
        raise AttributeError(name)

    # Rules that many share

    def _add(
        self, kind: str, inputs: Sequence[Tensor], infer: Callable[[Layer], Any], *, takes_uint8: bool = False, **more: Any
    ) -> Layer:
        layer = Layer(kind, inputs, infer, **more)
        layer.name = f"{kind} {len(self.layers)}"
        self.layers.append(layer)
        if not takes_uint8:
            self._need(all(one.dtype != self._trt.uint8 for one in inputs), layer, "takes UINT8; only a cast may")
        return layer

    def _of_floats(self, layer: Layer) -> Layer:
        kinds = (self._trt.float32, self._trt.float16, self._trt.bfloat16)
        self._need(all(one is None or one.dtype in kinds for one in layer.inputs), layer, "takes floats only")
        return layer

    def _of_one_type(self, layer: Layer) -> Layer:
        kinds = {str(one.dtype) for one in layer.inputs if one is not None}
        self._need(len(kinds) <= 1, layer, f"types differ: {sorted(kinds)}")
        return layer

    def _broadcast(self, layer: Layer, one: Shape, other: Shape) -> Shape:
        fit = len(one) == len(other) and all(a == b or 1 in (a, b) for a, b in zip(one, other, strict=True))
        self._need(fit, layer, f"{one} and {other} are not of one rank with sizes that fit")
        return tuple(max(a, b) for a, b in zip(one, other, strict=False))

    def _need(self, holds: bool, layer: Layer, text: str) -> None:
        if not holds:
            self.broken[f"{layer.name}: {text}"] = None
