"""For hosts: contract suites that adapters have to pass, and builders of domain values.

    from consignment.testing.contracts import StorageContract

    class TestOurStorage(StorageContract):
        def make_storage(self) -> Storage:
            return OurStorage(…)

`builders` makes domain values with sensible defaults. Nothing here needs pytest, but it is written
for it.
"""

from __future__ import annotations

import sys

# Under pytest, a failing assertion of a contract shows its figures.
if (pytest := sys.modules.get("pytest")) is not None:
    pytest.register_assert_rewrite("consignment.testing.contracts")
