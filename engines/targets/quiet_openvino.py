"""OpenVINO without its telemetry.

Its import alone would tell Google Analytics of it, from a thread and a forked child of the line's process, and write files into
the user's home; it asks nobody.  Without the package that does so it uses a stand-in of its own, as NNCF does.
"""

from __future__ import annotations

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # what stands here as None cannot be imported

import openvino as ov  # noqa: E402 - only after that

__all__ = ["ov"]
