#!/usr/bin/env bash
# openvino 2026.4.1: which cores a process may use is looked at once; a mask set later is not seen.
#
# Guess: a model compiled after sched_setaffinity runs on the cores of the mask as it is then, since threads inherit it.
# Seen:  the first model of a process decides.  After it, a model compiled under a mask of one core has as many threads as before.
#        In a process whose mask was set before its first model, it has one.
# Where it matters: a program that gives each of its engines cores of its own must do so before the first is made, or start a
#        process for each.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openvino==2026.4.1
cat > "$folder/try.py" <<'PYTHON'
import os
import sys

import numpy as np
import openvino as ov
from openvino import opset13 as op


def threads() -> int:
    """Of a small model that is compiled now."""
    given = op.parameter([256, 256], np.float32)
    model = ov.Model([op.matmul(given, op.constant(np.eye(256, dtype=np.float32)), False, False)], [given])
    compiled = ov.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    return compiled.get_property("INFERENCE_NUM_THREADS")


cores = sorted(os.sched_getaffinity(0))
if len(cores) < 2:
    sys.exit("this needs two cores")
if sys.argv[1] == "later":
    before = threads()
    os.sched_setaffinity(0, cores[:1])
    print("mask set after a first model:", "as many threads" if threads() == before > 1 else "fewer threads")
else:
    os.sched_setaffinity(0, cores[:1])
    print("mask set before:", threads(), "thread")
PYTHON
{ "$folder/venv/bin/python" "$folder/try.py" later; "$folder/venv/bin/python" "$folder/try.py" first; } | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
mask set after a first model: as many threads
mask set before: 1 thread
SEEN
