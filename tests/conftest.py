"""What all tests share: a small real recipe, free ports, commands as a user runs them, a check that nothing is left."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

# Emulated cameras; must stand in the environment before pylon is loaded.
os.environ["PYLON_CAMEMU"] = "2"

from engines.recipe.bundle import Recipe, load_recipe
from engines.targets import Precision
from tests.virtual_line.product import DEFECTS, save_parts

pytest_plugins = ["tests.house.skips"]

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PATIENCE_S = 5.0  # for threads and processes to end


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make faults` tries each fault as often as the README says."""
    parser.addoption("--all-faults", action="store_true", help="try faults as often as `make faults` does: hours")


def pytest_sessionstart() -> None:
    """Tests kill processes of cameras; killed as it reads a camera's description, pylon's library keeps it locked for all."""
    for left in Path("/dev/shm").glob("sem.*GenICam_XML"):
        left.unlink(missing_ok=True)


FITTED = {"recipe", "banked", "built"}  # and all fixtures that are made of them


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What has rounds is a fault; what needs a fitted recipe is slow."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if "rounds" in fixtures:
            item.add_marker("faults")
        if callspec := getattr(item, "callspec", None):  # a fixture may be named by a parameter
            fixtures.update(one for one in callspec.params.values() if isinstance(one, str))
        if fixtures & FITTED:
            item.add_marker("slow")


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How often to try: the first number in `make test`, the second in `make faults`."""
    return lambda short, full: full if request.config.getoption("--all-faults") else short


@pytest.fixture(autouse=True, scope="session")
def _no_watcher_of_progress() -> None:
    """Torch's exporter shows progress with tqdm, which starts a thread for the rest of the process to watch it."""
    import tqdm

    tqdm.tqdm.monitor_interval = 0


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """A test that leaves a thread, a child process or a listening socket behind fails."""
    me = psutil.Process()
    threads, children, sockets = set(threading.enumerate()), _children(me), _listening(me)
    yield
    until = time.monotonic() + PATIENCE_S
    while True:
        left = [
            *(set(threading.enumerate()) - threads),
            *(_children(me) - children),
            *(_listening(me) - sockets),
        ]
        if not left or time.monotonic() > until:
            break
        time.sleep(0.01)
    assert not left, f"left behind: {left}"


def _children(process: psutil.Process) -> set[psutil.Process]:
    """Children and theirs. psutil looks through the whole machine for them; the kernel tells at once where there are none."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return set()
    return set(process.children(recursive=True))


def _listening(process: psutil.Process) -> set[int]:
    return {one.laddr.port for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN}


@pytest.fixture(scope="session")
def golden_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 golden samples of the rendered product, 512 x 512."""
    folder = tmp_path_factory.mktemp("golden")
    save_parts(folder, range(1, 15), [None])
    return folder


@pytest.fixture(scope="session")
def parts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 parts of the rendered product: good, scratch, stain, missing piece, misplaced piece, crack, and again."""
    folder = tmp_path_factory.mktemp("parts")
    save_parts(folder, range(500, 512), [None, *DEFECTS])
    return folder


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory, golden_folder: Path) -> Recipe:
    """A recipe of the rendered product, fitted for a few steps only, with thresholds. Read-only: copy it to change it."""
    return _fitted(golden_folder, tmp_path_factory.mktemp("recipes") / "assembly", steps=24)


@pytest.fixture(scope="session")
def banked(tmp_path_factory: pytest.TempPathFactory, golden_folder: Path, converted_once: None) -> Recipe:
    """The same for the network thfr: a bank of 3 templates, and an openvino float32 engine. Read-only: copy it to change it."""
    folder = tmp_path_factory.mktemp("banked")
    made = _fitted(golden_folder, folder / "fitted", network="thfr", bank_ratio=25, steps=8)
    return _with_engine(made, folder / "built", golden_folder, "openvino", "float32")


def _fitted(golden: Path, folder: Path, **request: Any) -> Recipe:
    from calibrate.fit.fit_request import FitRequest
    from calibrate.fit.recipe_fit import make_recipe
    from calibrate.thresholds.calibration import ThresholdsRequest, calibrate_thresholds

    made = make_recipe(FitRequest(golden, folder, **request), lambda _: None, lambda _: None)
    with pytest.MonkeyPatch.context() as patched:  # fewer frames than a person would take
        patched.setattr("calibrate.thresholds.calibration.SYNTHETIC", 9)
        reference = {"target": "torch", "precision": "float32"}  # which needs no build
        asked = ThresholdsRequest(recipe=made, golden=golden, **reference, max_false_reject=0.05, confidence=0.5)
        calibrate_thresholds(asked, lambda _: None, lambda _done, _total: None)
    return made


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, golden_folder: Path, converted_once: None) -> Recipe:
    """A copy of `recipe` with an openvino float32 engine. Read-only: copy it to change it."""
    return _with_engine(recipe, tmp_path_factory.mktemp("built"), golden_folder, "openvino", "float32")


@pytest.fixture(scope="session")
def converted_once() -> Iterator[None]:
    """OpenVINO's model of a recipe is the same for every precision and takes ten seconds: each is kept for the session."""
    from engines.targets import openvino_target

    convert, kept = openvino_target.converted, dict[str, Any]()

    def converted(recipe: Recipe) -> Any:
        if recipe.digest not in kept:
            kept[recipe.digest] = convert(recipe)
        return kept[recipe.digest].clone()

    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(openvino_target, "converted", converted)
        yield


@pytest.fixture(scope="session")
def tensorrt(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, golden_folder: Path) -> Recipe:
    """A copy of `recipe` with a tensorrt float16 engine; for tests that are skipped without a GPU."""
    return _with_engine(recipe, tmp_path_factory.mktemp("tensorrt"), golden_folder, "tensorrt", "float16")


def _with_engine(recipe: Recipe, folder: Path, golden: Path, target: str, precision: Precision) -> Recipe:
    from engines.proof.build import build_engine

    shutil.copytree(recipe.folder, folder / recipe.name)
    copied = load_recipe(folder / recipe.name)
    record = build_engine(copied, target, precision, golden, None, lambda _: None, lambda _done, _total: None)
    assert record.parity is not None
    assert record.parity.passed
    return copied


@pytest.fixture
def free_ports() -> Callable[[int], list[int]]:
    """A function that finds so many ports on loopback that are free now."""
    from tests.virtual_line.demo import free_ports as find

    return find


@pytest.fixture
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run one of the project's commands to its end, as a user does; returns its output and exit status."""

    def run(*words: object, cwd: Path | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        script = Path(sys.executable).with_name(str(words[0]))
        return subprocess.run([script, *map(str, words[1:])], capture_output=True, text=True, cwd=cwd, timeout=timeout)

    return run


@pytest.fixture
def in_process(capfd: pytest.CaptureFixture[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same in this process, for what is not about processes: a new one spends seconds on importing torch alone."""

    def run(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        name, *_ = arguments = [str(word) for word in words]
        main = importlib.import_module(f"{ {'inspect': 'appliance'}.get(name, name) }.cli.main").main
        capfd.readouterr()
        with pytest.MonkeyPatch.context() as changed:
            changed.setattr(sys, "argv", arguments)
            changed.setattr("engines.common.good_neighbour.give_way", lambda: None)  # the tests after it go on as fast
            changed.chdir(cwd or Path.cwd())
            with pytest.raises(SystemExit) as end:
                main()
        return subprocess.CompletedProcess(arguments, int(end.value.code or 0), *capfd.readouterr())

    return run
