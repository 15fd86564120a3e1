"""The units as `make install` puts them in place: valid, hardened, and named as the README says."""

from __future__ import annotations

import configparser
import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_UNITS = Path("/usr/lib/systemd/system")
SERVICES = ("inspect@3.service", "inspect-plc@3.service")
WORST_EXPOSURE = 20  # tenths

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with our files, the host's own targets, and something to execute."""
    root = tmp_path_factory.mktemp("root")
    subprocess.run(["make", "--quiet", "-C", ROOT, "install", f"DESTDIR={root}"], check=True, capture_output=True)
    for kind in ("target", "slice", "mount"):
        for unit in SYSTEM_UNITS.glob(f"*.{kind}"):
            shutil.copy(unit, root / SYSTEM_UNITS.relative_to("/"))
    for program in ("opt/inspect/bin/inspect", "usr/bin/nvidia-modprobe"):
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shutil.which("true") or "/bin/true", root / program)
    return root


@pytest.fixture
def on_a_gpu(installed: Path, tmp_path: Path) -> Path:
    """The same with the drop-in of a box with an NVIDIA card in place."""
    root = Path(shutil.copytree(installed, tmp_path / "root"))
    folder = root / "etc/systemd/system/inspect@.service.d"
    folder.mkdir(parents=True)
    shutil.copy(root / "usr/share/inspect/gpu.conf", folder)
    return root


def _analyze(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", f"--root={root}", "--man=no", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("unit", [*SERVICES, "inspect.target", "inspect-gpu.service"])
def test_units_are_valid(installed: Path, unit: str) -> None:
    done = _analyze(installed, "verify", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_mistake_in_a_unit_is_found(installed: Path, tmp_path: Path) -> None:
    spoilt = Path(shutil.copytree(installed, tmp_path / "root"))
    unit = spoilt / "usr/lib/systemd/system/inspect@.service"
    unit.write_text(unit.read_text().replace("ExecStart=/opt/inspect/bin/inspect", "ExecStart=/opt/inspect/bin/absent"))
    assert "absent is not executable" in _analyze(spoilt, "verify", "inspect@3.service").stderr


@pytest.mark.parametrize("unit", SERVICES)
def test_services_are_hardened(installed: Path, unit: str) -> None:
    done = _analyze(installed, "security", "--offline=true", f"--threshold={WORST_EXPOSURE}", unit)
    assert done.returncode == 0, done.stdout.splitlines()[-1]
    assert _analyze(installed, "security", "--offline=true", "--threshold=5", unit).returncode != 0, "the check can fail"


def test_a_line_on_a_gpu_is_valid_and_hardened(on_a_gpu: Path) -> None:
    done = _analyze(on_a_gpu, "verify", "inspect@3.service")
    assert (done.returncode, done.stderr) == (0, "")
    done = _analyze(on_a_gpu, "security", "--offline=true", f"--threshold={WORST_EXPOSURE}", "inspect@3.service")
    assert done.returncode == 0, done.stdout.splitlines()[-1]
    told = _analyze(on_a_gpu, "security", "--offline=true", "--json=short", "inspect@3.service").stdout
    devices = {one["json_field"]: one["description"] for one in json.loads(told) if "Device" in one["json_field"]}
    assert "char-nvidia*:rw" in devices["DeviceAllow"], "else the drop-in was not read"


def test_the_drop_in_is_in_force_nowhere_by_itself(installed: Path) -> None:
    assert [file.relative_to(installed).as_posix() for file in installed.rglob("gpu.conf")] == ["usr/share/inspect/gpu.conf"]
    told = _analyze(installed, "security", "--offline=true", "--json=short", "inspect@3.service").stdout
    assert "nvidia" not in told
    gpu = (installed / "usr/lib/systemd/system/inspect-gpu.service").read_text(encoding="utf-8")
    assert "[Install]" not in gpu, "nothing enables it"


def test_device_files_are_made_before_the_line_starts_and_not_on_other_boxes(on_a_gpu: Path) -> None:
    asked = configparser.ConfigParser()
    asked.read(on_a_gpu / "etc/systemd/system/inspect@.service.d/gpu.conf")
    assert asked["Unit"]["Wants"] == asked["Unit"]["After"] == "inspect-gpu.service"
    unit = on_a_gpu / "usr/lib/systemd/system/inspect-gpu.service"
    assert "ConditionPathExists=/usr/bin/nvidia-modprobe" in unit.read_text(encoding="utf-8").splitlines()
    (on_a_gpu / "usr/bin/nvidia-modprobe").unlink()
    assert "nvidia-modprobe is not executable" in _analyze(on_a_gpu, "verify", unit.name).stderr


@pytest.mark.parametrize("unit", ["inspect@.service", "inspect-plc@.service"])
def test_services_are_watched_and_restarted_but_not_after_a_users_mistake(unit: str) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(ROOT / "systemd" / unit)
    service = parser["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"
    assert service["User"] == "inspect"
