"""`python -m local_runner`."""

from __future__ import annotations

import sys

from local_runner.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
