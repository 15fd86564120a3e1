"""`make bench`: the running line's speed and memory; quality on real pictures is `calibrate evaluate`."""

import sys

from tests.benchmarks.running import main

sys.exit(main())
