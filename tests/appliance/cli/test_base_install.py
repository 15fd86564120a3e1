"""A line on OpenVINO needs no library of any extra, and a command that needs one names the extra in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engines.recipe.bundle import Recipe
from tests.appliance.conftest import MakeLine

PARTS = 6
OPENVINO = {"target": "openvino", "precision": "float32"}
MODBUS = {"kind": "modbus", "host": "127.0.0.1", "port": 5020}


def base(*words: object) -> subprocess.CompletedProcess[str]:
    """A command as in a base install."""
    arguments = [sys.executable, "-m", "tests.house.base_only", *map(str, words)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("network", ["tfa-net", "thfr"])
def test_a_line_on_openvino_needs_no_extra(
    tmp_path: Path,
    make_line: MakeLine,
    network: str,
    built: Recipe,
    banked: Recipe,
    golden_folder: Path,
    parts_folder: Path,
) -> None:
    recipe = {"tfa-net": built, "thfr": banked}[network]
    line = make_line(
        recipe=recipe.folder,
        engine=OPENVINO,
        journal={"file": "../journal.db"},
        archive={"folder": "../archive", "passes": 1.0, "free_gb": 0.001, "quota_gb": 0.1},
        challenge={"good": str(golden_folder), "bad": str(parts_folder)},
    )
    of_line = ("--line", 3, "--config-dir", line.file.parent)

    def done(*words: object, status: int = 0) -> str:
        ended = base(*words[:2], *of_line, *words[2:])
        assert ended.returncode == status, (words, ended.stdout, ended.stderr)
        assert "Traceback" not in ended.stderr
        return ended.stdout

    assert "openvino float32 runs" in " ".join(done("inspect", "doctor").split())
    told = [json.loads(row) for row in done("inspect", "run", "--parts", PARTS, "--json").splitlines()]
    verdicts = [event for event in told if event["event"] == "verdict"]
    assert [verdict["part_id"] for verdict in verdicts] == list(range(1, PARTS + 1))
    assert all(isinstance(verdict["score"], float) for verdict in verdicts)
    assert len(done("inspect", "history", "--json").splitlines()) == PARTS
    done("inspect", "show", 2, "--output", tmp_path / "part.png")
    assert (tmp_path / "part.png").stat().st_size > 1_000
    assert "same" in done("inspect", "replay")
    assert f"{PARTS} verdicts, the chain holds" in done("inspect", "audit")
    assert "signed by anna" in done("inspect", "challenge", "--by", "anna", status=1)  # good parts are among the bad ones
    assert "line 3: sensitivity 0 %" in done("inspect", "sensitivity")
    assert "openvino" in done("engines", "list")
    assert "will start with recipe" in base("inspect", "recipe", *of_line, recipe.folder).stdout


@pytest.mark.parametrize(
    "words",
    [
        *(("inspect", one, "--help") for one in ("run", "plc", "challenge")),
        *(("calibrate", one, "--help") for one in ("fit", "report")),
        *(("engines", one, "--help") for one in ("build", "bench")),
        ("inspect", "schema"),
    ],
    ids=" ".join,
)
def test_help_and_schema_need_no_extra(words: tuple[str, ...]) -> None:
    ended = base(*words)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(ended.stdout) > 200


def test_a_command_whose_extra_is_missing_names_it_in_one_line(
    tmp_path: Path, make_line: MakeLine, built: Recipe, golden_folder: Path
) -> None:
    plcs = {
        "modbus": MODBUS,
        "modbus-server": {"kind": "modbus-server", "address": "127.0.0.1", "port": 5020},
        "opcua": {"kind": "opcua", "address": "127.0.0.1", "port": 4840},
        "s7": {"kind": "s7", "host": "127.0.0.1", "db": 1},
    }
    for kind, table in plcs.items():
        make_line(name=kind, plc=table)
    make_line(name="torch", recipe=built.folder, engine={"target": "torch", "precision": "float32"})
    lines = ("--config-dir", tmp_path / "lines")
    of_recipe = ("--recipe", built.folder)
    golden = ("--golden", golden_folder)
    asked = {
        ("calibrate", "fit", *golden, "--recipe", tmp_path / "new"): "calibrate",
        ("calibrate", "thresholds", *of_recipe, *golden): "calibrate",
        ("calibrate", "report", *of_recipe, *golden): "calibrate",
        ("engines", "build", *of_recipe, *golden): "calibrate",
        ("engines", "verify", *of_recipe, *golden): "calibrate",
        ("engines", "export", *of_recipe, tmp_path / "graph.pt2"): "calibrate",
        ("engines", "bench", *of_recipe, "--plot", tmp_path / "bench.png"): "calibrate",
        ("engines", "build", *of_recipe, *golden, "--precision", "int8"): "int8",
        ("engines", "build", *of_recipe, *golden, "--target", "tensorrt"): "tensorrt",
        ("inspect", "run", "--line", "torch", *lines): "calibrate",
        **{("inspect", "plc", "--line", kind, *lines): kind.removesuffix("-server") for kind in plcs},
        **{("inspect", "plc-sim", "--line", kind, *lines): kind.removesuffix("-server") for kind in plcs},
    }
    ended = {words: base(*words) for words in asked}
    assert {
        words: (one.returncode, one.stderr.count("\n"), one.stderr.rpartition("; run: ")[2]) for words, one in ended.items()
    } == {words: (2, 1, f"pip install 'tfa-inspect[{extra}]'\n") for words, extra in asked.items()}
