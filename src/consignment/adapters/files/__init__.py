"""Product rows from files: CSV, JSON Lines, XLSX and Parquet, streamed."""

from __future__ import annotations

from consignment.adapters.files.limits import Limits
from consignment.adapters.files.rows import Kind, ProductRows, open_product_rows

__all__ = ["Kind", "Limits", "ProductRows", "open_product_rows"]
