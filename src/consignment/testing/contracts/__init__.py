"""The contract suites: what every adapter of a port has to pass.

Inherit a suite in a class whose name starts with `Test`, say how an adapter is made, and let
pytest run it. What an adapter cannot do, it declares in `lacks`; the tests of that are skipped.
"""

from __future__ import annotations

from consignment.testing.contracts.crediting import (
    AccountBookContract,
    CreditingCapability,
    CreditingContract,
)
from consignment.testing.contracts.messaging import MessagingCapability, MessagingContract
from consignment.testing.contracts.storage import StorageCapability, StorageContract

__all__ = [
    "AccountBookContract",
    "CreditingCapability",
    "CreditingContract",
    "MessagingCapability",
    "MessagingContract",
    "StorageCapability",
    "StorageContract",
]
