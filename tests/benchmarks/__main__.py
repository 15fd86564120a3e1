"""`make bench`: the running line's speed and memory; see real_images.py for quality on real pictures."""

import sys

from tests.benchmarks.running import main

sys.exit(main())
