"""The target openvino tells nobody that it is used: no thread, no child, no file in the user's home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LOOK = "import sys, threading; print(threading.active_count(), sys.modules.get('openvino_telemetry'))"


def test_no_telemetry(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"HOME": str(tmp_path)}
    words = [sys.executable, "-c", f"import engines.targets.openvino_target; {LOOK}"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout.split() == ["1", "None"], done.stderr
    assert not list(tmp_path.iterdir())
