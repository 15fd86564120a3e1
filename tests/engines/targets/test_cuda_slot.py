"""One frame in flight on a GPU: what its slot enqueues, and in which order, seen on a made-up one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from engines.pictures.geometry import Geometry
from engines.targets import begin, caution_of
from engines.targets.cuda_slot import CudaEngine, CudaSlot, DeviceBuffers, streams
from tests.engines.targets.made_cuda import MadeCuda

SIDE = 8
GEOMETRY = Geometry((SIDE, SIDE), (0, 0, SIDE, SIDE), input_side=SIDE)
Bind = Callable[[DeviceBuffers], Callable[[], None]]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> MadeCuda:
    made = MadeCuda()
    made.put_in_place(monkeypatch)
    return made


def brightness(cuda: MadeCuda, writes: str = "all") -> Bind:
    """Binds a graph whose map, scores and match are the picture's first number; or one that writes less."""

    def bind(buffers: DeviceBuffers) -> Callable[[], None]:
        def launch() -> None:
            cuda.launched("frame")
            for name, buffer in buffers._asdict().items():
                if name != "tiles" and writes in ("all", name):
                    buffer.copy_(buffers.tiles[0, 0, 0, 0])

        return launch

    return bind


def compute(slot: CudaSlot, value: int) -> None:
    slot.tiles.fill(value)
    begin(slot)
    slot.finish()


@pytest.mark.parametrize("captured", [True, False])
def test_each_frame_gets_its_own_answer(cuda: MadeCuda, captured: bool) -> None:
    cuda.refuses_capture = "" if captured else "it allocates"
    slot = CudaSlot(GEOMETRY, brightness(cuda))
    assert (slot.replayed is not None) == captured
    for value in (7, 3):
        compute(slot, value)
        assert (slot.frame_map == value).all()
        assert (slot.scores == value).all()
        assert (slot.match == value).all()


@pytest.mark.parametrize("captured", [True, False])
@pytest.mark.parametrize("writes", ["nothing", "scores"])
def test_what_is_not_written_is_no_answer_to_the_frame_before(cuda: MadeCuda, captured: bool, writes: str) -> None:
    cuda.refuses_capture = "" if captured else "it allocates"
    slot = CudaSlot(GEOMETRY, brightness(cuda, writes))
    slot._device.frame_map.fill_(1.0)  # as if left by the frame before
    slot._device.scores.fill_(1.0)
    compute(slot, 5)
    assert np.isnan(slot.frame_map).all()
    assert np.isnan(slot.match).all()
    assert np.isnan(slot.scores).all() == (writes == "nothing")


def test_copies_and_computing_wait_for_each_other_and_the_processor_for_the_last(cuda: MadeCuda) -> None:
    slot = CudaSlot(GEOMETRY, brightness(cuda))
    cuda.told.clear()
    compute(slot, 5)
    assert cuda.told == [
        "compute waits for copy_in",
        "compute: replay",
        "copy_out waits for compute",
        "processor sleeps until copy_out",
    ]
    spans = slot.spans(torch.cuda.Event(enable_timing=True, blocking=True))
    assert spans.copy_in[0] < spans.copy_in[1] < spans.compute[0] < spans.compute[1] < spans.copy_out[0] < spans.copy_out[1]


def test_a_frame_that_is_captured_is_kept_apart_from_those_of_a_running_line(cuda: MadeCuda) -> None:
    """What another thread enqueues meanwhile must not become a part of the graph; nor may the two compute at once."""
    CudaSlot(GEOMETRY, brightness(cuda))
    frames = [one for one in cuda.told if "frame" in one]
    assert frames == ["capture: frame"] * 2, "a first run, and the captured one"
    first, second = (i for i, one in enumerate(cuda.told) if "frame" in one)
    assert "capture waits for compute" in cuda.told[:first]
    assert cuda.told[first + 1 : second] == ["compute waits for capture", "processor waits for capture"]


def test_why_a_frame_is_not_captured_is_told(cuda: MadeCuda) -> None:
    engine = CudaEngine("tensorrt float16", GEOMETRY, brightness(cuda))
    engine.new_slot()
    assert caution_of(engine) == ""
    cuda.refuses_capture = "operation not permitted\nwhen stream is capturing"
    slot = engine.new_slot()
    assert slot.why_not_captured == "operation not permitted when stream is capturing"
    assert "CUDA graph (operation not permitted when stream is capturing)" in caution_of(engine)


def test_a_frame_that_cannot_be_computed_at_all_is_an_error(cuda: MadeCuda) -> None:
    def bind(_: DeviceBuffers) -> Callable[[], None]:
        def launch() -> None:
            raise RuntimeError("no kernel image is available for execution on the device")

        return launch

    with pytest.raises(RuntimeError, match="no kernel image"):
        CudaSlot(GEOMETRY, bind)


def test_all_engines_of_a_process_share_one_set_of_streams(cuda: MadeCuda) -> None:
    slots = [CudaEngine(f"tensorrt {i}", GEOMETRY, brightness(cuda)).new_slot() for i in range(40)]
    assert {id(slot._streams) for slot in slots} == {id(streams())}
    assert cuda.streams == 4
