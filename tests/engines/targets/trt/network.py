"""A strict stand-in for TensorRT's network definition: shapes, types and the documented rules of the layers that we need.

The rules are those of NVIDIA's operator reference and of `INetworkDefinition`, for a strongly typed network of static shapes.
What breaks one is noted, and the network goes on, so that one run finds all.  It proves faults, not their absence: TensorRT
itself may refuse more.  A layer that is not modelled ends the run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.engines.targets.trt.moving import Moving
from tests.engines.targets.trt.tensors import Layer, Seen, Shape, Tensor

MOST_TOPK = 3_840


class Network(Moving):
    """Takes the place of `INetworkDefinition`."""

    def add_elementwise(self, one: Tensor, other: Tensor, op: Any) -> Layer:
        """Ranks are the same; an axis of size 1 is repeated."""
        ops, trt = self._trt.ElementWiseOperation, self._trt
        compares = op in (ops.EQUAL, ops.GREATER, ops.LESS)
        layer = self._add(
            "elementwise",
            [one, other],
            lambda _: (self._broadcast(layer, one.shape, other.shape), trt.bool if compares else one.dtype),
        )
        logical = op in (ops.AND, ops.OR, ops.XOR)
        boolean = one.dtype == trt.bool
        self._need(boolean if logical else compares or not boolean, layer, f"{op} of {one.dtype}")
        return self._of_one_type(layer)

    def add_unary(self, tensor: Tensor, op: Any) -> Layer:
        """See `INetworkDefinition.add_unary`."""
        layer = self._add("unary", [tensor], lambda _: (tensor.shape, tensor.dtype))
        negates = op == self._trt.UnaryOperation.NOT
        self._need(negates == (tensor.dtype == self._trt.bool), layer, f"{op} of {tensor.dtype}")
        return layer

    def add_activation(self, tensor: Tensor, type: Any) -> Layer:  # noqa: A002 - the bindings' name
        """See `INetworkDefinition.add_activation`."""
        layer = self._add("activation", [tensor], lambda _: (tensor.shape, tensor.dtype), alpha=0.0, beta=0.0)
        return self._of_floats(layer)

    def add_softmax(self, tensor: Tensor) -> Layer:
        """See `INetworkDefinition.add_softmax`."""
        return self._of_floats(self._add("softmax", [tensor], lambda _: (tensor.shape, tensor.dtype), axes=0))

    def add_select(self, condition: Tensor, then: Tensor, otherwise: Tensor) -> Layer:
        """See `INetworkDefinition.add_select`."""

        def infer(layer: Layer) -> Seen:
            return self._broadcast(layer, self._broadcast(layer, condition.shape, then.shape), otherwise.shape), then.dtype

        layer = self._add("select", [condition, then, otherwise], infer)
        self._need(condition.dtype == self._trt.bool, layer, f"chosen by {condition.dtype}")
        self._need(then.dtype == otherwise.dtype, layer, f"types differ: {then.dtype} and {otherwise.dtype}")
        return layer

    def add_reduce(self, tensor: Tensor, op: Any, axes: int, keep_dims: bool) -> Layer:
        """``axes`` are bits."""

        def infer(_: Layer) -> Seen:
            sizes = [(1 if keep_dims else 0) if axes >> i & 1 else size for i, size in enumerate(tensor.shape)]
            return tuple(size for size in sizes if size), tensor.dtype

        layer = self._add("reduce", [tensor], infer)
        self._need(0 < axes < 1 << len(tensor.shape), layer, f"axes {axes:b} of {tensor.shape}")
        return layer

    def add_topk(self, tensor: Tensor, op: Any, k: int, axes: int, indices_type: Any = None) -> Layer:
        """Values and their indices."""

        def infer(_: Layer) -> list[Seen]:
            shape = tuple(k if axes >> i & 1 else size for i, size in enumerate(tensor.shape))
            return [(shape, tensor.dtype), (shape, indices_type or self._trt.int32)]

        layer = self._add("topk", [tensor], infer, outputs=2)
        self._need(len(tensor.shape) >= 2, layer, f"of {len(tensor.shape)} dimension; TopK needs 2")
        self._need(k <= MOST_TOPK, layer, f"k is {k}, and at most {MOST_TOPK}")
        return layer

    def add_matrix_multiply(self, one: Tensor, op_one: Any, other: Tensor, op_other: Any) -> Layer:
        """All but the last two sizes are repeated as `add_elementwise` does."""
        ops = self._trt.MatrixOperation

        def infer(layer: Layer) -> Seen:
            a, b = ((*shape[:-2], shape[-1], shape[-2]) if op == ops.TRANSPOSE else shape for shape, op in given(layer))
            a, b = (*a, *(1,) * (op_one == ops.VECTOR)), (*b, *(1,) * (op_other == ops.VECTOR))
            self._need(a[-1] == b[-2], layer, f"{a} times {b}")
            shape = (*self._broadcast(layer, a[:-2], b[:-2]), a[-2], b[-1])
            return (shape[:-1] if op_other == ops.VECTOR else shape), one.dtype

        def given(layer: Layer) -> list[tuple[Shape, Any]]:
            self._need(op_one != ops.VECTOR, layer, "a vector comes first: not modelled")
            return [(one.shape, op_one), (other.shape, op_other)]

        layer = self._add("matmul", [one, other], infer)
        return self._of_one_type(self._of_floats(layer))

    def add_attention_v2(self, query: Tensor, key: Tensor, value: Tensor, op: Any, causal: Any) -> Layer:
        """(batch, heads, rows, size) each; heads and sizes of the three agree here, as ours do."""
        layer = self._add("attention", [query, key, value], lambda _: (query.shape[:-1] + value.shape[-1:], query.dtype))
        fit = (
            len(query.shape) == 4
            and key.shape == value.shape
            and query.shape[:2] + query.shape[3:] == key.shape[:2] + key.shape[3:]
        )
        self._need(fit, layer, f"queries {query.shape}, keys {key.shape}, values {value.shape}")
        return self._of_one_type(self._of_floats(layer))

    def add_normalization_v2(self, tensor: Tensor, scale: Tensor, bias: Tensor, axes: int) -> Layer:
        """Scale and bias have the input's rank, with size 1 where they are repeated."""
        layer = self._add("normalization", [tensor, scale, bias], lambda _: (tensor.shape, tensor.dtype), epsilon=1e-5)
        ranks = {len(one.shape) for one in (tensor, scale, bias)}
        self._need(len(ranks) == 1, layer, f"ranks differ: {tensor.shape}, {scale.shape}, {bias.shape}")
        return self._of_one_type(self._of_floats(layer))

    add_normalization = add_normalization_v2

    def add_convolution_nd(
        self,
        input: Tensor,  # noqa: A002
        num_output_maps: int,
        kernel_shape: Shape,
        kernel: Any = None,
        bias: Any = None,
    ) -> Layer:
        """See `INetworkDefinition.add_convolution_nd`."""
        return self._convolution("convolution", input, num_output_maps, kernel_shape, (kernel, bias), _convolved)

    def add_deconvolution_nd(
        self,
        input: Tensor,  # noqa: A002
        num_output_maps: int,
        kernel_shape: Shape,
        kernel: Any = None,
        bias: Any = None,
    ) -> Layer:
        """See `INetworkDefinition.add_deconvolution_nd`."""
        return self._convolution("deconvolution", input, num_output_maps, kernel_shape, (kernel, bias), _deconvolved)

    def add_pooling_nd(self, input: Tensor, type: Any, window_size: Shape) -> Layer:  # noqa: A002
        """Sizes are rounded down."""

        def infer(layer: Layer) -> Seen:
            before, after = _padding(layer, window_size)
            sizes = zip(input.shape[2:], window_size, layer.stride_nd or window_size, before, after, strict=True)
            return (*input.shape[:2], *((n + lo + hi - k) // s + 1 for n, k, s, lo, hi in sizes)), input.dtype

        return self._add("pooling", [input], infer, stride_nd=None, padding_nd=None, pre_padding=None, post_padding=None)

    def add_resize(self, tensor: Tensor) -> Layer:
        """To the shape that is set."""
        return self._add("resize", [tensor], lambda layer: (tuple(layer.shape), tensor.dtype))

    def _convolution(
        self, kind: str, tensor: Tensor, outputs: int, kernel: Shape, weights: tuple[Any, Any], size: Callable[..., int]
    ) -> Layer:
        def infer(layer: Layer) -> Seen:
            before, after = _padding(layer, kernel)
            strides, dilations = layer.stride_nd or (1,) * len(kernel), layer.dilation_nd or (1,) * len(kernel)
            sizes = zip(tensor.shape[2:], kernel, strides, dilations, before, after, strict=True)
            return (tensor.shape[0], outputs, *(size(*one) for one in sizes)), tensor.dtype

        usual: dict[str, Any] = dict.fromkeys(("stride_nd", "dilation_nd", "padding_nd", "pre_padding", "post_padding"))
        layer = self._add(kind, [tensor], infer, num_groups=1, **usual)
        self._need(len(tensor.shape) >= 4, layer, f"of {tensor.shape}")
        for one in weights:
            given = isinstance(one, self._trt.Weights) and one.size > 0
            self._need(not given or one.dtype == tensor.dtype, layer, "weights of another type than the input")
        return self._of_floats(layer)


def _padding(layer: Layer, kernel: Shape) -> tuple[Shape, Shape]:
    none = (0,) * len(kernel)
    return tuple(layer.padding_nd or layer.pre_padding or none), tuple(layer.padding_nd or layer.post_padding or none)


def _convolved(n: int, k: int, stride: int, dilation: int, before: int, after: int) -> int:
    return (n + before + after - dilation * (k - 1) - 1) // stride + 1


def _deconvolved(n: int, k: int, stride: int, dilation: int, before: int, after: int) -> int:
    return (n - 1) * stride + dilation * (k - 1) + 1 - before - after
