"""Orders: an address for each place that lines publish at; whoever sends them needs nothing of the line itself."""

from __future__ import annotations

import subprocess
import sys

from appliance.config.publish import PublishConfig
from appliance.messages.orders import orders_address

TELLS = """
import sys
sys.argv = ["inspect", "plc", "--line", "nowhere", "--config-dir", "/nowhere"]
from appliance.cli.main import main
try:
    main()
except SystemExit as end:
    print(end.code, *(name for name in sys.modules if name.startswith(("appliance.line", "appliance.plc"))))
"""


def test_two_lines_of_a_name_that_publish_at_two_places_have_two_addresses() -> None:
    here, there = PublishConfig(), PublishConfig(verdicts="tcp://127.0.0.1:5600")
    assert orders_address("3", here) == orders_address("3", PublishConfig(snapshot="tcp://127.0.0.1:5601"))
    assert len({orders_address("3", here), orders_address("3", there), orders_address("4", here)}) == 3


def test_the_bridge_does_not_load_the_line() -> None:
    done = subprocess.run([sys.executable, "-c", TELLS], capture_output=True, text=True, timeout=60)
    code, *modules = done.stdout.split()
    assert code == "2"
    assert "appliance.plc.bridge" in modules
    assert not [name for name in modules if name.startswith("appliance.line")]
