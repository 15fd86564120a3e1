"""Building an engine: compile aside, prove, then put it in its place; an interrupted build leaves nothing.

What is built and proven is the engine for this environment; those for others stay as they are.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from engines.common.cores import Share
from engines.common.errors import EngineError, ImageError
from engines.common.files import write_file, written_aside
from engines.pictures.geometry import Pixels
from engines.pictures.images import list_images, read_image
from engines.pictures.synthetic_defects import with_defect
from engines.proof.admission import RECORD, BuildRecord, built_engines, engine_folder, need_intact
from engines.proof.parity import Parity, compare
from engines.recipe.bundle import Recipe
from engines.recipe.golden_samples import fitting, read_samples
from engines.recipe.ignore_mask import ignored_by
from engines.recipe.thresholds import Thresholds, load_thresholds, thresholds_that_hold
from engines.targets import TARGETS, Engine, Precision, caution_of, load_reference, target_module

SYNTHETIC = 24  # defects drawn onto held-out golden samples
BISECTED = 8  # frames to find a failing layer on
HALF = ("float16", "bfloat16")
SHORT_OF_MEMORY = ("out of memory", "can't allocate memory", "bad_alloc", "outofmemory")  # torch, OpenVINO, CUDA, TensorRT
Say = Callable[[str], None]
Tell = Callable[[int, int], None]


def build_engine(
    recipe: Recipe, target: str, precision: Precision, golden: Path, rejects: Path | None, say: Say, tell: Tell
) -> BuildRecord:
    """Compile a recipe's graph for a target, compare it with the reference, and keep it with its report.

    An engine that does not pass the gate is kept with its report, so that it can be looked into; no line loads it.  Without
    thresholds of this fit its numbers alone are compared; `calibrate thresholds` then proves it for those that it gives.
    """
    module = target_module(target, precision)
    if TARGETS[target].reference == precision:
        raise EngineError(f"{target} {precision} is the reference itself: nothing to build")
    thresholds = thresholds_that_hold(recipe)
    images = proof_images(recipe, golden, rejects)
    versions = module.versions()
    folder = engine_folder(recipe, target, precision, versions)
    folder.parent.mkdir(exist_ok=True)
    with written_aside(folder) as aside:
        samples = [recipe.manifest.geometry.cut_new(image) for image in read_samples(golden, recipe.manifest, held_out=False)]
        for attempt in range(module.attempts(precision)):
            say(f"building {target} {precision}" + (f", attempt {attempt + 1}: more layers stay exact" if attempt else ""))
            begun = time.monotonic()
            with enough_memory(f"{target} {precision} was built"):
                module.build(recipe, precision, aside, samples, attempt)
                seconds = time.monotonic() - begun
                say(f"built in {seconds:.0f} s; comparing with the reference on {len(images)} frames")
                engine = module.load(recipe, precision, aside, Share())
                with _float32_of(recipe, target, precision, samples) as float32:
                    parity = prove(engine, recipe, precision, thresholds, images, tell, float32)
            _tell_caution(engine, say)
            engine.close()
            if parity.passed:
                break
        _name_layer(recipe, precision, parity, thresholds, images, say)
        files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(aside.iterdir())}
        record = BuildRecord(
            recipe.digest,
            target,
            precision,
            versions,
            files,
            parity,
            datetime.now(UTC).isoformat(timespec="seconds"),
            round(seconds, 1),
        )
        save_record(aside, record)
    _remove_useless(recipe)
    return record


def verify_engine(
    recipe: Recipe, target: str, precision: Precision, golden: Path, rejects: Path | None, say: Say, tell: Tell
) -> BuildRecord:
    """Compare a built engine with the reference anew, and renew its report. Raises EngineError for one that was changed."""
    if TARGETS[target].reference == precision:
        raise EngineError(f"{target} {precision} is the reference itself: nothing to compare")
    record = need_intact(recipe, target, precision)
    folder = engine_folder(recipe, target, precision)
    thresholds, images = load_thresholds(recipe), proof_images(recipe, golden, rejects)
    with enough_memory(f"{target} {precision} was compared"):
        engine = target_module(target, precision).load(recipe, precision, folder, Share())
        samples = [recipe.manifest.geometry.cut_new(image) for image in images[:1]]  # float32 is not fitted to them
        with _float32_of(recipe, target, precision, samples) as float32:
            parity = prove(engine, recipe, precision, thresholds, images, tell, float32)
    _tell_caution(engine, say)
    engine.close()
    _name_layer(recipe, precision, parity, thresholds, images, say)
    record = msgspec.structs.replace(record, parity=parity)
    save_record(folder, record)
    return record


def prove(
    engine: Engine,
    recipe: Recipe,
    precision: Precision,
    thresholds: Thresholds | None,
    images: list[Pixels],
    tell: Tell,
    float32: Engine | None = None,
) -> Parity:
    """The parity report of an engine; ``float32``, of the same target, is timed beside it."""
    geometry, ignored = recipe.manifest.geometry, ignored_by(recipe, thresholds)
    return compare(engine, load_reference(recipe), precision, geometry, thresholds, ignored, images, tell, float32)


@contextmanager
def _float32_of(recipe: Recipe, target: str, precision: Precision, samples: Sequence[Pixels]) -> Iterator[Engine | None]:
    """The same target in float32, to be timed beside another precision: as it is built, or made for it and not kept."""
    info = TARGETS.get(target)
    if info is None or precision == "float32" or "float32" not in info.precisions or info.reference == "float32":
        yield None
        return
    module = target_module(target, "float32")
    with TemporaryDirectory() as aside:
        try:
            need_intact(recipe, target, "float32")
            folder = engine_folder(recipe, target, "float32")
        except EngineError:
            folder = Path(aside)
            module.build(recipe, "float32", folder, samples, 0)
        engine: Engine = module.load(recipe, "float32", folder, Share())
    yield engine
    engine.close()


def _tell_caution(engine: Engine, say: Say) -> None:
    if caution := caution_of(engine):
        say(caution)


def _remove_useless(recipe: Recipe) -> None:
    """Remove engines that no environment would load: of another fit of the recipe, or not where their environment's belongs."""
    for folder, record in built_engines(recipe).items():
        place = engine_folder(recipe, record.target, record.precision, record.versions)
        if record.recipe_digest != recipe.digest or folder != place:
            shutil.rmtree(folder)


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Turn every library's way to say that memory is short, of the box or of the GPU, into one EngineError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or any(words in str(error).lower() for words in SHORT_OF_MEMORY)):
            raise
        raise EngineError(f"out of memory while {what}; stop what else runs on this box, then try again") from error


def _name_layer(
    recipe: Recipe, precision: Precision, parity: Parity, thresholds: Thresholds | None, images: list[Pixels], say: Say
) -> None:
    """Say where a half-precision network that failed the gate loses the answer."""
    if not parity.passed and precision in HALF:
        layer = failing_layer(recipe, precision, thresholds, images[:BISECTED])
        say(f"the answer is lost at layer {layer}" if layer else "no single layer's rounding loses the answer")


def failing_layer(recipe: Recipe, precision: Precision, thresholds: Thresholds | None, images: list[Pixels]) -> str | None:
    """The layer with which rounding to half precision begins to break the gate on these frames; None when it never does."""
    import torch

    from engines.graph.assembly import load_graph
    from engines.proof.layer_bisection import first_failing_layer
    from engines.targets.torch_target import TorchEngine

    graph, reference = load_graph(recipe), load_reference(recipe)
    engine, geometry = TorchEngine(graph, precision), recipe.manifest.geometry
    ignored = ignored_by(recipe, thresholds)

    def holds() -> bool:
        return compare(engine, reference, precision, geometry, thresholds, ignored, images, lambda _done, _total: None).passed

    tiles = torch.from_numpy(geometry.cut_new(images[0])).to(graph.weights.device)
    return first_failing_layer(graph, tiles, getattr(torch, precision), holds)


def proof_images(recipe: Recipe, golden: Path, rejects: Path | None) -> list[Pixels]:
    """Held-out golden samples, synthetic defects on them, and known rejects where there are some."""
    good = read_samples(golden, recipe.manifest, held_out=True)
    rng = np.random.default_rng(recipe.manifest.seed + 1)  # other defects than those that chose the score
    geometry = recipe.manifest.geometry
    known = [fitting(read_image(file), geometry, str(file)) for file in list_images(rejects)] if rejects else []
    if rejects and not known:
        raise ImageError(f"{rejects}: no image of a known reject there; give another folder or leave --rejects out")
    return [*good, *(with_defect(good[i % len(good)], rng, i, geometry.region) for i in range(SYNTHETIC)), *known]


def save_record(folder: Path, record: BuildRecord) -> None:
    """Write `build.json` whole or not at all."""
    write_file(folder / RECORD, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
