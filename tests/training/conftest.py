"""The training package is not installed; it is found beside the tests, after everything that is."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
