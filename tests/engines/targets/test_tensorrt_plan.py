"""What is asked of TensorRT, and how its refusals are told; its own side is a stand-in, as loading it takes a GPU."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from engines.common.errors import EngineError
from engines.pictures.geometry import Geometry
from engines.targets import MATCH
from engines.targets.cuda_slot import DeviceBuffers
from tests.engines.targets.made_cuda import MadeCuda

SIDE = 16
GEOMETRY = Geometry((2 * SIDE, SIDE), (0, 0, 2 * SIDE, SIDE), 1, 2, input_side=SIDE)
Tensors = dict[str, tuple[str, str, tuple[int, ...]]]
TENSORS: Tensors = {
    "tiles": ("INPUT", "UINT8", (2, SIDE, SIDE, 3)),
    "output0": ("OUTPUT", "FLOAT", GEOMETRY.map_shape),
    "output1": ("OUTPUT", "FLOAT", (3,)),
    "output2": ("OUTPUT", "FLOAT", (MATCH,)),
}


class MadeEngine:
    """What TensorRT has of a plan: its tensors in any order, and contexts."""

    device_memory_size_v2 = 1000

    def __init__(self, tensors: Tensors, refuses: str = "") -> None:
        self.tensors, self.refuses = tensors, refuses
        self.num_io_tensors = len(tensors)
        self.contexts: list[MadeContext] = []

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return SimpleNamespace(name=self.tensors[name][0])

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=self.tensors[name][1])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name][2]

    def create_execution_context(self, strategy: str) -> MadeContext | None:
        assert strategy == "user managed"
        if self.refuses == "context":
            return None
        self.contexts.append(MadeContext(self.refuses))
        return self.contexts[-1]


class MadeContext:
    """One that writes down what it is given."""

    def __init__(self, refuses: str) -> None:
        self.refuses, self.memory = refuses, (0, 0)
        self.addresses: dict[str, int] = {}

    def set_device_memory(self, memory: int, size: int) -> None:
        self.memory = memory, size

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return self.refuses != "address"

    def execute_async_v3(self, stream_handle: int) -> bool:
        return self.refuses != "frame"


class MadeTensorRt(ModuleType):
    """In place of the module: refusals are told to the logger, as TensorRT does."""

    def __init__(self, engine: MadeEngine | None) -> None:
        super().__init__("tensorrt")
        severities = SimpleNamespace(INTERNAL_ERROR="internal", ERROR="error", WARNING="warning")
        self.ILogger = type("ILogger", (), {"Severity": severities})
        self.ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="user managed")
        self.engine = engine

    def Runtime(self, log: Any) -> Any:  # noqa: N802 - as TensorRT names it
        log.log("warning", "never mind")
        log.log("error", "IRuntime: Error Code 1:\n  Serialization (magic tag does not match)")
        return SimpleNamespace(deserialize_cuda_engine=lambda plan: self.engine)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[MadeEngine | None], Any]]:
    """Loads a plan of a made-up TensorRT on a made-up GPU."""
    before = {
        name: sys.modules.pop(name, None) for name in ("engines.targets.tensorrt_plan", "engines.targets.tensorrt_target")
    }
    MadeCuda().put_in_place(monkeypatch)
    here = torch.empty
    monkeypatch.setattr(torch, "empty", lambda size, dtype, device: here(size, dtype=dtype))

    def plan(engine: MadeEngine | None) -> Any:
        monkeypatch.setitem(sys.modules, "tensorrt", MadeTensorRt(engine))
        from engines.targets.tensorrt_plan import Plan

        return Plan(b"", GEOMETRY)

    yield plan
    for name, module in before.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


@pytest.fixture
def target(load: object, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "tensorrt", MadeTensorRt(None))
    from engines.targets import tensorrt_target

    return tensorrt_target


@pytest.mark.parametrize("order", [list(TENSORS), list(reversed(TENSORS)), ["output2", "tiles", "output0", "output1"]])
def test_a_buffer_is_bound_by_name_whatever_the_order(load: Callable[..., Any], order: list[str]) -> None:
    engine = MadeEngine({name: TENSORS[name] for name in order})
    buffers = DeviceBuffers.of(GEOMETRY)
    load(engine).bind(buffers)()
    assert engine.contexts[0].addresses == {name: one.data_ptr() for name, one in zip(TENSORS, buffers, strict=True)}


def test_all_contexts_compute_in_one_memory(load: Callable[..., Any]) -> None:
    engine = MadeEngine(TENSORS)
    plan = load(engine)
    for _ in range(3):
        plan.bind(DeviceBuffers.of(GEOMETRY))
    assert {one.memory for one in engine.contexts} == {(plan._memory.data_ptr(), engine.device_memory_size_v2)}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"output1": ("OUTPUT", "FLOAT", (4,))}, r"output1: OUTPUT FLOAT \(4,\)"),
        ({"output1": ("OUTPUT", "HALF", (3,))}, r"output1: OUTPUT HALF \(3,\)"),
        ({"output1": ("INPUT", "FLOAT", (3,))}, r"output1: INPUT FLOAT \(3,\)"),
        ({"output2": ("OUTPUT", "FLOAT", (3,))}, r"and not INPUT uint8 \(2, 16, 16, 3\); OUTPUT float32 \(16, 30\)"),
        ({"extra": ("OUTPUT", "FLOAT", (1,))}, r"extra: OUTPUT FLOAT \(1,\)"),
        ({"extra": ("OUTPUT", "FLOAT", (3,))}, r"extra: OUTPUT FLOAT \(3,\)"),
        ({"output0": ("OUTPUT", "FLOAT", (2 * SIDE, SIDE))}, r"output0: OUTPUT FLOAT \(32, 16\)"),
    ],
)
def test_a_plan_of_other_tensors_is_refused(load: Callable[..., Any], changed: Tensors, told: str) -> None:
    with pytest.raises(EngineError, match=f"its tensors are .*{told}"):
        load(MadeEngine(TENSORS | changed))


def test_a_plan_with_a_tensor_too_few_is_refused(load: Callable[..., Any]) -> None:
    with pytest.raises(EngineError, match="its tensors are "):
        load(MadeEngine({name: TENSORS[name] for name in list(TENSORS)[:3]}))


@pytest.mark.parametrize(
    ("refuses", "told"),
    [
        ("context", "makes no execution context"),
        ("address", "does not take the buffer of its tensor tiles"),
        ("frame", "could not enqueue a frame"),
    ],
)
def test_what_tensorrt_refuses_is_told_with_its_own_words(load: Callable[..., Any], refuses: str, told: str) -> None:
    with pytest.raises(EngineError, match=rf"{told} \(IRuntime: Error Code 1: Serialization \(magic tag does not match\)\)"):
        load(MadeEngine(TENSORS, refuses)).bind(DeviceBuffers.of(GEOMETRY))()


def test_a_plan_that_cannot_be_loaded_is_told_with_its_own_words(load: Callable[..., Any]) -> None:
    with pytest.raises(EngineError, match=r"cannot load it \(IRuntime: .*magic tag does not match"):
        load(None)


def test_a_keyword_that_torch_tensorrt_does_not_know_is_refused(
    target: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(target, "version", lambda _: "9.9")

    def convert(
        program: object, *, arg_inputs: object, use_fp32_acc: bool, timing_cache_path: str, **kwargs: object
    ) -> None: ...

    with pytest.raises(EngineError, match=r"torch-tensorrt 9\.9 knows no require_full_compilation, and would leave it out"):
        target.options(convert, torch.zeros(1), tmp_path)


def test_the_timings_of_layers_lie_in_the_engines_own_folder(target: Any, tmp_path: Path) -> None:
    def convert(
        *,
        arg_inputs: object,
        require_full_compilation: bool,
        use_fp32_acc: bool,
        timing_cache_path: str,
        use_explicit_typing: bool,
    ) -> None: ...

    asked = target.options(convert, torch.zeros(1), tmp_path)
    assert Path(asked["timing_cache_path"]).parent == tmp_path
    assert asked["use_explicit_typing"], "where there is such a word, it must be said"


def _failed(target: Any, said: list[str], raised: str) -> Exception:
    """What a build ends with, of which TensorRT said this and torch-tensorrt raised that."""
    with target.tensorrt_told() as told:
        for text in said:
            logging.getLogger(target.LOGGER).error(text)
        logging.getLogger("torch_tensorrt.dynamo").error("While interpreting the module got an error: the whole graph")
    try:
        try:
            raise RuntimeError(raised)
        except RuntimeError as error:
            raise RuntimeError("While interpreting the module got an error") from error
    except RuntimeError as error:
        found = target.no_plan(error, told)
    assert isinstance(found, Exception)
    return found


NONE = "TensorRT build_serialized_network returned None; engine build failed."
RULE = "ITopKLayer: k must be at most\n 3840"


def test_a_broken_rule_is_told_in_tensorrts_words_and_not_as_a_lack_of_memory(
    target: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    found = _failed(target, [RULE, "in between", "Error Code 4: Internal Error"], NONE)
    assert isinstance(found, EngineError)
    assert str(found) == (f"TensorRT built no plan: ITopKLayer: k must be at most 3840; Error Code 4: Internal Error; {NONE}")
    assert capfd.readouterr().err == "", "one line, and the command prints it"


def test_without_a_word_of_tensorrt_the_cause_is_told(target: Any) -> None:
    assert str(_failed(target, [], NONE)) == f"TensorRT built no plan: {NONE}"


def test_a_lack_of_memory_is_told_as_one(target: Any) -> None:
    from engines.proof.build import enough_memory

    found = _failed(target, ["Error Code 2: OutOfMemory (Requested size was 1073741824 bytes.)"], NONE)
    with pytest.raises(EngineError, match="out of memory while it was built"), enough_memory("it was built"):
        raise found


def test_a_map_too_large_for_its_top_k_is_refused_before_the_build(target: Any) -> None:
    most = Geometry((1_000, 1_000), (0, 0, 1_000, 1_000), 4, 4)  # tiles' maps overlap: 928 x 928 pixels, 3,364 of them
    target.need_top_k(most)
    more = Geometry((1_000, 1_000), (0, 0, 1_000, 1_000), 5, 5)
    with pytest.raises(EngineError, match=r"a map of 1152 x 1152 pixels has a top-k mean of 5184 .* take the target cuda or"):
        target.need_top_k(more)
