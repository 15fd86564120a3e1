"""The line file: what it may say, and that each mistake is refused with file and key path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.capture import pylon_camera, replay_camera
from appliance.config.camera import CAMERAS, AnyCameraConfig
from appliance.config.line import LineConfig, load_line, need_plc
from appliance.config.plc import PLCS, AnyPlcConfig
from appliance.config.publish import INSECURE, is_local
from appliance.config.records import ArchiveConfig, JournalConfig
from appliance.plc import modbus, modbus_server, opcua, s7
from engines.common.errors import ConfigError

MINIMAL = 'recipe = "r"\n[camera]\nkind = "pylon"\n'
NEEDED = {  # keys of a kind without a default
    "replay": 'source = "parts"\n',
    "simulated": 'source = "parts"\n',
    "modbus": 'host = "h"\n',
    "modbus-server": 'address = "0.0.0.0"\n',
    "opcua": 'address = "0.0.0.0"\n',
    "s7": 'host = "h"\ndb = 7\n',
}
LARGE = {"asyncua", "cv2", "gi", "numpy", "pymodbus", "pypylon", "snap7", "torch"}
REPLAY = 'recipe = "r"\n[camera]\nkind = "replay"\nsource = "parts"\n'


def load(folder: Path, text: str) -> LineConfig:
    (folder / "3.toml").write_text(text, encoding="utf-8")
    return load_line("3", folder).config


def test_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    assert isinstance(config.camera, pylon_camera.Config)
    assert (config.camera.trigger, config.camera.trigger_source, config.camera.features) == ("hardware", "Line1", {})
    assert (config.engine.target, config.engine.slots, config.decision.deadline_ms) == ("openvino", 3, 500)
    assert is_local(config.publish.verdicts)
    assert is_local(config.publish.snapshot)
    assert (config.publish.keys, config.plc, config.journal, config.archive) == (None, None, None, None)
    assert (config.decision.max_sensitivity, config.challenge) == (0.2, None)


def test_every_table_is_read(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        REPLAY + 'rate = 2.5\nloop = true\nresize = true\n[engine]\nslots = 1\n[decision]\ndeadline_ms = 80\n'
        '[publish]\nverdicts = "ipc:///run/v"\nsnapshot = "ipc:///run/s"\n'
        '[plc]\nkind = "modbus"\nhost = "10.0.0.9"\nbase = 100\n[archive]\nfolder = "frames"\nquota_gb = 7.5\n',
    )  # fmt: skip
    assert config.camera == replay_camera.Config(source=tmp_path / "parts", rate=2.5, loop=True, resize=True)
    assert (config.engine.slots, config.decision.deadline_ms, config.publish.verdicts) == (1, 80, "ipc:///run/v")
    assert config.plc == modbus.Config(host="10.0.0.9", port=502, unit=1, base=100, timeout_ms=500, silent_ms=1_000)
    assert config.archive == ArchiveConfig(folder=tmp_path / "frames", quota_gb=7.5, passes=0.01, free_gb=1.0)


def test_features_keep_their_order_and_types(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL + '[camera.features]\nWidth = 64\nGain = 1.5\nPixelFormat = "Mono8"\nReverseX = true\n')
    assert isinstance(config.camera, pylon_camera.Config)
    assert list(config.camera.features.items()) == [("Width", 64), ("Gain", 1.5), ("PixelFormat", "Mono8"), ("ReverseX", True)]


def test_paths_start_at_the_folder_of_the_line_file(tmp_path: Path) -> None:
    journal = '[journal]\nfile = "/srv/x.db"\n[archive]\nfolder = "../frames"\n'
    config = load(tmp_path, MINIMAL.replace('"r"', '"../recipes/x"') + journal)
    assert config.recipe == tmp_path.parent / "recipes" / "x"
    assert config.journal == JournalConfig(file=Path("/srv/x.db"))
    assert config.archive is not None
    assert config.archive.folder == tmp_path.parent / "frames"


CAMERAS_TOLD = "; choose one of aravis, pylon, replay, simulated$"
PLCS_TOLD = "; choose one of modbus, modbus-server, opcua, s7$"
MISTAKES = [
    (MINIMAL + "gian = 1\n", r"camera\.gian: unknown key; correct its spelling or remove it"),
    ("colour = 1\n" + MINIMAL, r"colour: unknown key"),
    (MINIMAL + "[journal]\nfile = ''\n", r"journal\.file: expected a path, got nothing; correct the value"),
    (MINIMAL + "[decision]\ndeadline = 5\n", r"decision\.deadline: unknown key"),
    (MINIMAL + "[decision]\ndeadline_ms = 'soon'\n", r"decision\.deadline_ms: expected `int`, got `str`; correct the value"),
    (MINIMAL + "[decision]\ndeadline_ms = 0\n", r"decision\.deadline_ms: expected `int` >= 1"),
    (MINIMAL + "[decision]\nmax_sensitivity = 0.21\n", r"decision\.max_sensitivity: expected `float` <= 0\.2"),
    (MINIMAL + "[engine]\nslots = 65\n", r"engine\.slots: expected `int` <= 64"),
    (REPLAY + "rate = -1\n", r"camera\.rate: expected `float` >= 0"),
    (MINIMAL + 'serial = "1"\nip = "10.0.0.2"\n', r"camera: give only one of serial, ip and name"),
    (MINIMAL + 'trigger_counter = "ChunkFrameID"\n', r"camera: trigger_counter = \"ChunkFrameID\" counts pictures or time"),
    (MINIMAL + 'trigger_counter = "ChunkTimestamp"\n', r"camera: trigger_counter = \"ChunkTimestamp\" counts pictures"),
    (MINIMAL + 'trigger = "free"\ntrigger_counter = "C"\n', r"camera: trigger_counter goes with trigger = \"hardware\""),
    (MINIMAL + 'trigger = "later"\n', r"camera\.trigger: invalid value 'later'; choose one of hardware, software, free$"),
    (
        'recipe = "r"\n[camera]\nkind = "webcam"\n',
        rf"camera\.kind: invalid value 'webcam'{CAMERAS_TOLD}",
    ),
    ('recipe = "r"\n[camera]\nkind = 3\n', rf"camera\.kind: invalid value 3{CAMERAS_TOLD}"),
    ('recipe = "r"\n[camera]\nserial = "1"\n', rf"camera\.kind: missing{CAMERAS_TOLD}"),
    ('recipe = "r"\ncamera = "pylon"\n', r"camera: expected a table, got `str`; correct the value$"),
    ('recipe = "r"\n', r"object missing required field `camera`"),
    (MINIMAL + "buffers = 1\n", r"camera\.buffers: expected `int` >= 4; correct the value$"),
    (
        MINIMAL + "[camera.features]\nWidth = [1]\n",
        r"camera\.features\[\.\.\.\]: expected `.*`, got `array`; correct the",
    ),
    (
        'recipe = "r"\n[camera]\nkind = "replay"\nsource = ""\n',
        r"camera\.source: expected a path, got nothing; correct the value$",
    ),
    (REPLAY + 'serial = "1"\n', r"camera\.serial: unknown key; correct its spelling or remove it$"),
    ('recipe = "r"\n[camera]\nkind = "replay"\n', r"camera: .*missing required field `source`"),
    ("[camera]\nkind = 'pylon'\n", r"object missing required field `recipe`"),
    (
        MINIMAL + '[publish]\nverdicts = "tcp://127.0.0.1:1"\nsnapshot = "tcp://127.0.0.1:1"\n',
        r"publish: verdicts and snapshot must be two addresses",
    ),
    (MINIMAL + '[publish]\nverdicts = "tcp://0.0.0.0:5563"\n', r"publish: bound beyond loopback without keys: .*inspect keys"),
    (MINIMAL + '[publish]\nsnapshot = "tcp://10.1.2.3:5564"\n', r"publish: bound beyond loopback without keys"),
    (MINIMAL + '[publish]\nverdicts = "127.0.0.1:5563"\n', r"publish\.verdicts: expected `str` matching regex"),
    (MINIMAL + '[publish]\nverdicts = "tcp://127.0.0.1:70000"\n', r"publish: tcp://127\.0\.0\.1:70000: a port is 1 to 65535"),
    (MINIMAL + '[plc]\nkind = "modbus"\nhost = "h"\nport = 0\n', r"plc\.port: expected `int` >= 1"),
    (MINIMAL + '[plc]\nkind = "modbus"\nhost = "h"\nacknowledge = true\n', r"plc\.acknowledge: unknown key"),
    (
        MINIMAL + '[plc]\nkind = "profinet"\n',
        rf"plc\.kind: invalid value 'profinet'{PLCS_TOLD}",
    ),
    (MINIMAL + '[plc]\nkind = "modbus-server"\n', r"plc: .*missing required field `address`"),
    (MINIMAL + '[plc]\nkind = "s7"\nhost = "h"\n', r"plc: .*missing required field `db`"),
    (MINIMAL + '[plc]\nkind = "s7"\nhost = "h"\ndb = 7\nstart = 3\n', r"plc\.start: expected `int` that's a multiple of 2"),
    (
        MINIMAL + '[plc]\nkind = "opcua"\naddress = "0.0.0.0"\ncertificate = "c.der"\n',
        r"plc: certificate, private_key and clients belong together",
    ),
    (MINIMAL + '[publish]\ninsecure = "yes"\n', rf'publish: insecure must say exactly "{INSECURE}"'),
    (
        MINIMAL + f'[publish]\nverdicts = "tcp://0.0.0.0:5563"\ninsecure = "{INSECURE}."\n',
        rf'publish: insecure must say exactly "{INSECURE}"',
    ),
    ("recipe = \n", r"not valid TOML"),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES)
def test_a_mistake_is_refused_with_file_and_key(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"3\.toml: {expected}"):
        load(tmp_path, text)


def test_beyond_loopback_is_fine_with_keys(tmp_path: Path) -> None:
    text = '[publish]\nverdicts = "tcp://0.0.0.0:5563"\nsnapshot = "tcp://0.0.0.0:5564"\nkeys = "keys"\n'
    assert load(tmp_path, MINIMAL + text).publish.keys == tmp_path / "keys"


def test_beyond_loopback_without_keys_the_risk_is_taken_in_words(tmp_path: Path) -> None:
    text = f'[publish]\nverdicts = "tcp://0.0.0.0:5563"\nsnapshot = "tcp://0.0.0.0:5564"\ninsecure = "{INSECURE}"\n'
    assert load(tmp_path, MINIMAL + text).publish.keys is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('kind = "modbus-server"\naddress = "0.0.0.0"\n', modbus_server.Config(address="0.0.0.0", port=1502, base=0)),
        ('kind = "opcua"\naddress = "10.0.0.2"\nsilent_ms = 500\n', opcua.Config(address="10.0.0.2", port=4840, silent_ms=500)),
        ('kind = "s7"\nhost = "10.0.0.9"\ndb = 7\n', s7.Config(host="10.0.0.9", port=102, rack=0, slot=1, db=7, start=0)),
    ],
)
def test_every_kind_of_plc_is_read(tmp_path: Path, text: str, expected: object) -> None:
    assert load(tmp_path, MINIMAL + "[plc]\n" + text).plc == expected


@pytest.mark.parametrize("family", [AnyCameraConfig, AnyPlcConfig])
def test_each_kind_is_tagged_as_the_table_of_kinds_has_it(family: type[AnyCameraConfig | AnyPlcConfig]) -> None:
    assert [family.struct_of(kind).__struct_config__.tag for kind in family.kinds] == list(family.kinds)


@pytest.mark.parametrize("kind", [*CAMERAS, *PLCS])
def test_reading_a_file_imports_no_library_of_its_kinds(tmp_path: Path, kind: str) -> None:
    """Neither a vendor's nor one for pictures: the bridge to the PLC reads the camera's table, too."""
    camera, plc = (kind, "modbus") if kind in CAMERAS else ("pylon", kind)
    table = f'[camera]\nkind = "{camera}"\n{NEEDED.get(camera, "")}[plc]\nkind = "{plc}"\n{NEEDED[plc]}'
    (tmp_path / "3.toml").write_text(f'recipe = "r"\n{table}', encoding="utf-8")
    words = f"""
import sys
from pathlib import Path
from appliance.config.line import load_line
load_line("3", Path({str(tmp_path)!r}))
print(sorted({LARGE!r} & {{name.partition(".")[0] for name in sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_line_without_plc_is_told_so_when_one_is_needed(tmp_path: Path) -> None:
    load(tmp_path, MINIMAL)
    with pytest.raises(ConfigError, match=r"3\.toml: plc: no PLC is configured; add a \[plc\] table"):
        need_plc(load_line("3", tmp_path))


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("ipc:///run/x", True),
        ("tcp://127.0.0.1:1", True),
        ("tcp://127.1.2.3:1", True),
        ("tcp://localhost:1", True),
        ("tcp://*:1", False),
        ("tcp://0.0.0.0:1", False),
        ("tcp://192.168.127.1:1", False),
        ("tcp://localhost.example.org:1", False),
        ("tcp://127.example.org:1", False),
    ],
)
def test_only_addresses_of_this_box_are_local(endpoint: str, local: bool) -> None:
    assert is_local(endpoint) is local
