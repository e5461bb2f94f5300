"""`python -m consignment.adapters.cli`: the same as `consignment`."""

from __future__ import annotations

import sys

from consignment.adapters.cli.running import main

sys.exit(main())
