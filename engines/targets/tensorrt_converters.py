"""How some of our operations become layers of TensorRT; registered with torch-tensorrt, they come before its own converters.

Its own make more layers: they give a scalar or a row the shape of what it meets, by two each, and compare twice for a clamp.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node
from torch_tensorrt.dynamo.conversion import impl
from torch_tensorrt.dynamo.conversion._ConversionContext import ConversionContext
from torch_tensorrt.dynamo.conversion._ConverterRegistry import ConverterPriority, dynamo_tensorrt_converter
from torch_tensorrt.dynamo.conversion.converter_utils import SourceIR, get_axes_for_reduce_op, get_trt_tensor, set_layer_name

aten = torch.ops.aten
Converter = Callable[[ConversionContext, Any, tuple[Any, ...], object, str], Any]
converts: Callable[..., Callable[[Converter], Converter]] = functools.partial(
    dynamo_tensorrt_converter, priority=ConverterPriority.HIGH
)


def _ends_at_both(node: Node, _: object) -> bool:
    return len(node.args) == 3 and all(isinstance(limit, int | float) for limit in node.args[1:])


def _squares(node: Node, _: object) -> bool:
    return node.args[1] in (2, 2.0)


def _along_the_last(node: Node, _: object) -> bool:
    return len(node.args[1]) == 1  # type: ignore[arg-type]


@converts(aten.clamp.default, capability_validator=_ends_at_both)
def clip(ctx: ConversionContext, target: Any, args: tuple[Any, ...], kwargs: object, name: str) -> Any:
    """One activation."""
    x, low, high = args
    return impl.activation.hardtanh(ctx, target, SourceIR.ATEN, name, x, float(low), float(high))


@converts(aten.pow.Tensor_Scalar, capability_validator=_squares)
def square(ctx: ConversionContext, target: Any, args: tuple[Any, ...], kwargs: object, name: str) -> Any:
    """One product, which is exact for negative numbers as well."""
    return impl.elementwise.mul(ctx, target, SourceIR.ATEN, name, args[0], args[0])


@converts(aten.linear.default)
def linear(ctx: ConversionContext, target: Any, args: tuple[Any, ...], kwargs: object, name: str) -> Any:
    """A product and a sum; weights are constants of the input's rank from the start."""
    x, weight, *bias = args
    bias_row = _of_rank(ctx, x, bias[0], f"{name}_bias") if bias and bias[0] is not None else None
    return impl.linear.linear(ctx, target, SourceIR.ATEN, name, x, _of_rank(ctx, x, weight, f"{name}_weight"), bias_row)


@converts(aten.native_layer_norm.default, capability_validator=_along_the_last, priority=ConverterPriority.HIGH)
def layer_norm(ctx: ConversionContext, target: Any, args: tuple[Any, ...], kwargs: object, name: str) -> Any:
    """One normalisation, which TensorRT computes in float32; scale and shift are repeated by it."""
    x, _, weight, bias, epsilon = args
    scale, shift = (_of_rank(ctx, x, one, f"{name}_{part}") for one, part in ((weight, "scale"), (bias, "shift")))
    layer = ctx.net.add_normalization_v2(x, scale, shift, get_axes_for_reduce_op([len(x.shape) - 1]))
    layer.epsilon = epsilon
    set_layer_name(layer, target, name, SourceIR.ATEN)
    return layer.get_output(0), None, None


@converts(aten.index_select.default)
def rows_by_index(ctx: ConversionContext, target: Any, args: tuple[Any, ...], kwargs: object, name: str) -> Any:
    """One gather, from the same constant that a product takes: THFR's keys are searched and then chosen from."""
    values, axis, index = args
    layer = ctx.net.add_gather(_of_rank(ctx, values, values, name), index, axis)
    set_layer_name(layer, target, name, SourceIR.ATEN)
    return layer.get_output(0)


def _of_rank(ctx: ConversionContext, x: Any, values: Any, name: str) -> Any:
    """Weights as a constant with as many dimensions as ``x``, one for each place where they lie and each shape."""
    if not isinstance(values, torch.Tensor):
        return values  # computed: torch-tensorrt's own way is right for it
    shape = (1,) * (len(x.shape) - values.dim()) + tuple(values.shape)
    made = ctx.__dict__.setdefault("constants_of_ours", {})
    key = (values.data_ptr(), shape)
    if key not in made:
        made[key] = get_trt_tensor(ctx, values.reshape(shape), name)
    return made[key]
