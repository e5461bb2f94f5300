"""Storage in a relational database, and a double-entry ledger beside it."""

from consignment.adapters.sqlalchemy.copying import copy_database
from consignment.adapters.sqlalchemy.ledger import Discrepancy, Ledger
from consignment.adapters.sqlalchemy.schema import HEAD, schema_version, upgrade
from consignment.adapters.sqlalchemy.storage import SqlStorage

__all__ = [
    "HEAD",
    "Discrepancy",
    "Ledger",
    "SqlStorage",
    "copy_database",
    "schema_version",
    "upgrade",
]
