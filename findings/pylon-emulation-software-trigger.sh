#!/usr/bin/env bash
# pypylon 26.9 (pylon's camera emulation): TriggerSoftware takes a picture whatever TriggerSource is.
#
# Guess: with TriggerMode On and TriggerSource Line1 the command TriggerSoftware does nothing, as the standard feature naming
#        convention has it (it acts when TriggerSource is Software); a test would wait for a picture in vain.
# Seen:  the picture comes; the source is not looked at.  No picture comes without the command.
# Where it matters: a program that forgets to set TriggerSource passes all its tests on the emulation, and stands still at a camera.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pypylon==26.9
cat > "$folder/try.py" <<'PYTHON'
import os

os.environ["PYLON_CAMEMU"] = "1"
from pypylon import pylon

factory = pylon.TlFactory.GetInstance()
emulated = next(one for one in factory.EnumerateDevices() if one.GetDeviceClass() == "BaslerCamEmu")
camera = pylon.InstantCamera(factory.CreateDevice(emulated))
camera.Open()
camera.TriggerSelector.Value, camera.TriggerMode.Value, camera.TriggerSource.Value = "FrameStart", "On", "Line1"
camera.StartGrabbing(pylon.GrabStrategy_OneByOne)
print("without a trigger:", camera.RetrieveResult(500, pylon.TimeoutHandling_Return).IsValid())
camera.WaitForFrameTriggerReady(1000, pylon.TimeoutHandling_ThrowException)
camera.TriggerSoftware.Execute()
result = camera.RetrieveResult(2000, pylon.TimeoutHandling_Return)
print("TriggerSource", camera.TriggerSource.Value, "and TriggerSoftware:", result.IsValid() and result.GrabSucceeded())
camera.Close()
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/try.py" | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
without a trigger: False
TriggerSource Line1 and TriggerSoftware: True
SEEN
