"""Product rows from files: CSV and JSON Lines, streamed."""

from __future__ import annotations

from consignment.adapters.files.rows import ProductRows, open_product_rows

__all__ = ["ProductRows", "open_product_rows"]
