"""Runs torch-tensorrt's lowering and converters to the end on a half-precision graph, and counts what TensorRT would be given.

    python -m tests.engines.targets.trt.dry_run tfa-net small [--grid N] [--side PIXELS]

Exit status 1 when a rule is broken.  `network.py` says what this proves.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch.export import ExportedProgram

from engines.recipe.model_config import PROFILES
from tests.engines.targets.trt.half_graph import faulty_graph, half_graph
from tests.engines.targets.trt.network import Network
from tests.engines.targets.trt.wheel import load_torch_tensorrt

MEGABYTE = 1e6


class Report(msgspec.Struct):
    """What the converters built."""

    broken: list[str]
    ended: str  # in words, when the network was not completed
    outputs: list[tuple[str, tuple[int, ...], str]]
    layers: int  # that work for each frame: without constants and what is made of them alone, which a build works out once
    constants: int
    kinds: dict[str, int]  # layers by kind
    written_mb: float  # by these layers
    largest: list[tuple[float, str]]  # megabytes and names of the largest tensors that are written
    constants_mb: float


class _CompleteError(Exception):
    """Instead of a plan."""


class Builder:
    """Takes the place of `trt.Builder`: its network is the stand-in, and it ends where a plan would be made."""

    trt: Any = None
    network: Network

    def __init__(self, logger: object) -> None:
        """``logger``: TensorRT's."""

    def create_network(self, flags: int = 0) -> Network:
        """See `IBuilder.create_network`."""
        Builder.network = Network(self.trt)
        return Builder.network

    def create_builder_config(self) -> Any:
        """Takes every setting; none of them is looked at."""
        return _Settings()

    create_optimization_profile = create_builder_config

    def build_engine_with_config(self, network: Network, config: object) -> None:
        """The end."""
        raise _CompleteError("the network is complete")


class _Settings:
    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def convert(program: ExportedProgram) -> Report:
    """Have torch-tensorrt convert a program; `load_torch_tensorrt` comes before, and is called here."""
    trt = load_torch_tensorrt()
    from tests.engines.targets.trt.tensors import Tensor

    trt.ITensor = trt.tensorrt.ITensor = Tensor
    Builder.trt, trt.Builder = trt, Builder
    from torch_tensorrt.dynamo import convert_exported_program_to_serialized_trt_engine

    import engines.targets.tensorrt_converters  # noqa: F401 - as `build` does
    from engines.targets.tensorrt_target import options

    (tiles,) = (node for node in program.graph.nodes if node.name == "tiles")
    ended = ""
    given = torch.zeros(tiles.meta["val"].shape, dtype=torch.uint8)
    make = convert_exported_program_to_serialized_trt_engine
    try:
        with tempfile.TemporaryDirectory() as aside:
            make(program, **options(make, given, Path(aside)))
    except Exception as error:  # noqa: BLE001 - told; torch-tensorrt wraps the builder's end in an error of its own
        ended = "" if "the network is complete" in str(error) else f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return _report(Builder.network, ended)


def _report(network: Network, ended: str) -> Report:
    for layer in network.layers:
        layer.outputs_seen()  # its shape's rule is looked at even if nobody reads it
    work = [layer for layer in network.layers if not layer.constant]
    written = sorted(((one.nbytes / MEGABYTE, layer.name) for layer in work for one in layer.outputs), reverse=True)
    constants = [layer for layer in network.layers if layer.kind == "constant"]
    return Report(
        broken=list(network.broken),
        ended=ended or ("" if network.outputs else "no output was marked"),
        outputs=[(one.name, one.shape, str(one.dtype)) for one in network.outputs],
        layers=len(work),
        constants=len(constants),
        kinds=dict(Counter(layer.kind for layer in work).most_common()),
        written_mb=round(sum(size for size, _ in written), 1),
        largest=written[:12],
        constants_mb=round(sum(one.nbytes for layer in constants for one in layer.outputs) / MEGABYTE, 1),
    )


def main() -> int:
    """Print the report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=[*PROFILES, "faulty"], help="faulty: what breaks rules")
    parser.add_argument("profile", nargs="?", default="small")
    parser.add_argument("--grid", type=int, default=1)
    parser.add_argument("--side", type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # torch-tensorrt's own, of a box without GPU
    words = (arguments.network, arguments.profile, arguments.grid, arguments.side)
    report = convert(faulty_graph() if arguments.network == "faulty" else half_graph(*words))
    print(json.dumps(msgspec.to_builtins(report), indent=1))
    return int(bool(report.broken or report.ended))


if __name__ == "__main__":
    sys.exit(main())
