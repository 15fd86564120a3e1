"""Layers of the stand-in that hold, move or convert numbers, and compute none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.engines.targets.trt.rules import Rules
from tests.engines.targets.trt.tensors import Layer, Seen, Shape, Tensor

MOST_AXES = 8


class Moving(Rules):
    """Constants, casts, shuffles, slices, concatenations, gathers."""

    def add_constant(self, shape: Sequence[int], weights: Any) -> Layer:
        """Weights are an array of NumPy, or the bindings' `Weights` with a type that NumPy lacks."""
        kind = weights.dtype if isinstance(weights, self._trt.Weights) else self._trt.DataType(_type_number(self._trt, weights))
        layer = self._add("constant", [], lambda _: (tuple(shape), kind))
        layer.values = _few(self._trt, weights)
        self._need(math.prod(shape) == weights.size, layer, f"{weights.size} numbers for the shape {tuple(shape)}")
        return layer

    def add_cast(self, tensor: Tensor, to_type: Any) -> Layer:
        """The one layer that takes UINT8."""
        layer = self._add("cast", [tensor], lambda _: (tensor.shape, to_type), takes_uint8=True)
        floats = (self._trt.float32, self._trt.float16)
        self._need(
            tensor.dtype != self._trt.uint8 or to_type in floats, layer, f"UINT8 is cast to floats only, not to {to_type}"
        )
        return layer

    def add_identity(self, tensor: Tensor) -> Layer:
        """See `INetworkDefinition.add_identity`."""
        return self._add("identity", [tensor], lambda _: (tensor.shape, tensor.dtype))

    def add_shuffle(self, tensor: Tensor) -> Layer:
        """Transposed, reshaped, transposed; each only where it is set."""

        def infer(layer: Layer) -> Seen:
            shape = _ordered(tensor.shape, layer.first_transpose)
            if layer.reshape_dims is not None:
                asked = [shape[i] if size == 0 else int(size) for i, size in enumerate(layer.reshape_dims)]
                known = -math.prod(asked)
                shape = tuple(math.prod(shape) // known if size == -1 else size for size in asked)
                self._need(math.prod(shape) == math.prod(tensor.shape), layer, f"{tensor.shape} cannot be reshaped to {shape}")
            self._need(len(layer.inputs) == 1, layer, "the new shape is computed, in a graph of static shapes")
            return _ordered(shape, layer.second_transpose), tensor.dtype

        return self._add("shuffle", [tensor], infer, first_transpose=None, reshape_dims=None, second_transpose=None)

    def add_unsqueeze(self, tensor: Tensor, axes: Tensor) -> Layer:
        """``axes`` is a constant."""
        where = sorted(int(axis) for axis in axes.source.values) if axes.source else []

        def infer(_: Layer) -> Seen:
            shape = list(tensor.shape)
            for axis in where:
                shape.insert(axis, 1)
            return tuple(shape), tensor.dtype

        return self._add("unsqueeze", [tensor, axes], infer)

    def add_slice(self, tensor: Tensor, start: Sequence[int], shape: Sequence[int], stride: Sequence[int]) -> Layer:
        """A stride of 0 repeats the one element of an axis."""

        def infer(layer: Layer) -> Seen:
            self._need(all(one is None for one in layer.inputs[1:4]), layer, "start, size or stride are computed")
            return tuple(int(size) for size in layer.shape), tensor.dtype

        layer = self._add("slice", [tensor], infer, start=start, shape=shape, stride=stride)
        self._need(len(start) == len(shape) == len(stride) == len(tensor.shape), layer, f"of another rank than {tensor.shape}")
        return layer

    def add_concatenation(self, tensors: Sequence[Tensor]) -> Layer:
        """All sizes but the axis' are the same."""

        def infer(layer: Layer) -> Seen:
            shapes, axis = [one.shape for one in tensors], layer.axis
            others = {(*shape[:axis], 0, *shape[axis + 1 :]) for shape in shapes}
            self._need(len(others) == 1, layer, f"shapes do not fit along axis {axis}: {shapes}")
            return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :]), tensors[0].dtype

        layer = self._add("concatenation", tensors, infer, axis=0)
        self._need(len({len(one.shape) for one in tensors}) == 1, layer, f"ranks differ: {[one.shape for one in tensors]}")
        return self._of_one_type(layer)

    def add_gather(self, tensor: Tensor, indices: Tensor, axis: int) -> Layer:
        """See `INetworkDefinition.add_gather`."""
        layer = self._add(
            "gather",
            [tensor, indices],
            lambda _: (tensor.shape[:axis] + indices.shape + tensor.shape[axis + 1 :], tensor.dtype),
        )
        self._need(indices.dtype in (self._trt.int32, self._trt.int64), layer, f"indices of type {indices.dtype}")
        return layer


def _few(trt: Any, weights: Any) -> list[int]:
    """Of a constant that gives axes."""
    array = weights.numpy() if isinstance(weights, trt.Weights) and weights.dtype in (trt.int32, trt.int64) else weights
    return [] if isinstance(array, trt.Weights) or array.size > MOST_AXES else [int(one) for one in np.asarray(array).ravel()]


def _type_number(trt: Any, weights: Any) -> Any:
    names = {
        "float32": "FLOAT",
        "float16": "HALF",
        "int32": "INT32",
        "int64": "INT64",
        "bool": "BOOL",
        "uint8": "UINT8",
        "int8": "INT8",
    }
    return trt.DataType.__members__[names[str(np.asarray(weights).dtype)]]


def _ordered(shape: Shape, order: Any) -> Shape:
    return shape if order is None else tuple(shape[i] for i in order)
