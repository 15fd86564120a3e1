"""Where a recipe's graph can run: one file a target, one line in `TARGETS`.

The commands import this for their help: nothing large is imported with it.

A target's module has

    load(recipe, precision, folder, share) -> Engine      of what was built into the folder
    build(recipe, precision, folder, golden, attempt)     golden: cut golden samples, each (tiles, side, side, 3)
    attempts(precision) -> int                            ways to build, from the fastest to the most exact
    versions() -> dict                                    libraries and hardware that the answer depends on
    FILES: tuple                                          names of all files that `load` reads in the folder

`share` is the whole box, unless its line in `TARGETS` says that it has streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from engines.common.cores import Share
from engines.common.errors import EngineError
from engines.common.extras import import_for

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from engines.pictures.geometry import Geometry, Pixels
    from engines.recipe.bundle import Recipe

NAN = float("nan")
MATCH = 2  # numbers that tell which template a frame was compared with
Precision = Literal["float32", "bfloat16", "float16", "int8"]


class EngineSlot(Protocol):
    """Buffers of one frame in flight, made once by the engine that reads and fills them."""

    tiles: Pixels  # (tiles, side, side, 3) RGB, filled by the caller
    frame_map: npt.NDArray[np.float32]  # (H, W), filled by the engine
    scores: npt.NDArray[np.float32]  # (3,), filled by the engine
    match: npt.NDArray[np.float32]  # (2,), filled by the engine: index of the template, and the frame's similarity to it

    def start(self) -> None:
        """Begin to infer; returns at once. Called by `begin` only, which has cleared map, scores and match.

        What an engine computes in, before it comes into these buffers, must not hold the frame before either.
        """

    def finish(self) -> None:
        """Wait until map and scores are filled."""


class Engine(Protocol):
    """A recipe's graph, loaded and ready. Slots that were started first finish first.

    One that works, and not as well as it should, has a text ``caution``: `caution_of` it is what people must be told.
    """

    target: str  # as it stands in verdicts, e.g. "openvino bfloat16"

    def new_slot(self) -> EngineSlot:
        """Buffers for one more frame in flight."""

    def close(self) -> None:
        """Let memory and devices go; slots must not be used after this."""


@dataclass(frozen=True)
class TargetInfo:
    """What the commands need to know of a target before they load it."""

    module: str
    precisions: tuple[Precision, ...]
    reference: Precision | None = None  # a precision that is the reference itself: nothing to build or to prove
    gpu: bool = False  # computes on a GPU where torch has one
    streams: bool = False  # can compute several frames at once, each on its share of the cores, and on some of them only


TARGETS: Mapping[str, TargetInfo] = {
    "torch": TargetInfo("engines.targets.torch_target", ("float32", "float16"), reference="float32", gpu=True),
    "openvino": TargetInfo("engines.targets.openvino_target", ("float32", "bfloat16", "int8"), streams=True),
    "tensorrt": TargetInfo("engines.targets.tensorrt_target", ("float16",), gpu=True),
    "cuda": TargetInfo("engines.targets.cuda_target", ("float16",), gpu=True),
}


def names(which: Iterable[str]) -> str:
    """Names as a sentence lists them: a, b or c."""
    *others, last = which
    return f"{', '.join(others)} or {last}" if others else last


TARGET_NAMES, PRECISION_NAMES = names(TARGETS), names(get_args(Precision))


def target_module(target: str, precision: str) -> Any:
    """The module of a target. Raises EngineError for a pair that there is not, or a library that is not installed."""
    info = TARGETS.get(target)
    if info is None:
        raise EngineError(f"no target named {target!r}; there are: {', '.join(TARGETS)}")
    if precision not in info.precisions:
        raise EngineError(f"target {target} has no precision {precision}; it has: {', '.join(info.precisions)}")
    # Imported here: a target brings a heavy library, and a line needs only its own.
    return import_for(f"target {target}", info.module, EngineError)


def default_precision(target: str) -> str:
    """What a target computes in when nothing is said: the first of its precisions."""
    info = TARGETS.get(target)
    return info.precisions[0] if info else ""


def load_reference(recipe: Recipe) -> Engine:
    """The float32 reference that every other engine is compared with."""
    engine: Engine = target_module("torch", "float32").load(recipe, "float32", recipe.folder, Share())
    return engine


def caution_of(engine: Engine) -> str:
    """What is to be told of an engine that has made its slots; empty: nothing."""
    return str(getattr(engine, "caution", ""))


def need_whole_box(target: str, share: Share) -> None:
    """For targets without streams. Raises EngineError that names the first key of the line's file to take out."""
    whole = Share()
    for key, told in (
        ("streams", "computes one frame at a time"),
        ("threads", "starts its threads itself"),
        ("cores", "takes no cores of its own"),
    ):
        if getattr(share, key) != getattr(whole, key):
            raise EngineError(f"target {target} {told}: take engine.{key} out of the line's file")


def begin(slot: EngineSlot) -> None:
    """Start a slot whose tiles are filled, with nothing in it of the frame before: the one way to start a slot.

    What the engine does not write stays NaN, and NaN rejects.  The whole map is cleared: an ignore-mask could hide a part.
    That takes 4 bytes a map pixel, some 10 microseconds for one tile, and allocates nothing.
    """
    slot.frame_map.fill(NAN)
    slot.scores.fill(NAN)
    slot.match.fill(NAN)
    slot.start()


def run_once(slot: EngineSlot, image: Pixels, geometry: Geometry) -> None:
    """Cut a frame into the slot and infer it; the slot then holds its map and scores."""
    geometry.cut(image, slot.tiles)
    begin(slot)
    slot.finish()


@dataclass
class HostSlot:
    """A slot's buffers in ordinary memory."""

    tiles: Pixels
    frame_map: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    match: npt.NDArray[np.float32]

    @classmethod
    def of(cls, geometry: Geometry) -> HostSlot:
        """Buffers of the right shapes: tiles of zeros, and NaN until an engine has written."""
        import numpy as np

        from engines.pictures.scores import SCORES

        tiles = np.zeros((geometry.tiles, geometry.input_side, geometry.input_side, 3), np.uint8)
        shapes = (geometry.map_shape, (len(SCORES),), (MATCH,))
        return cls(tiles, *(np.full(shape, NAN, np.float32) for shape in shapes))
