"""The digest of a command's content, by which a repeat is told from a conflict."""

from __future__ import annotations

import hashlib
import json

__all__ = ["content_digest"]


def content_digest(*content: object) -> str:
    """Give the SHA-256 (hex) of plain content: text, numbers, None, and nested lists and maps.

    Decimals, dates and instants count as their text. Two contents with equal parts in equal order
    have equal digests, on every machine and in every version of the library.
    """
    canonical = json.dumps(
        content, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=str
    )
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
