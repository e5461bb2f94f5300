"""Messages from and to partners: CloudEvents 1.0 in the JSON event format.

Sources: CloudEvents 1.0.2, sections "Context Attributes" and "Size Limits"; JSON Event Format for
CloudEvents 1.0.2, section 3. `type` is `consignment.` with the kind of report or message behind.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from datetime import UTC
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from consignment.domain.errors import InvalidValue, Reason, reason
from consignment.domain.report import (
    Accepted,
    Completed,
    ExpenseReported,
    GoodsLine,
    PartnerReport,
    Procured,
    Rejected,
    ReportKind,
    Returned,
    SentBack,
    Sold,
    WrittenOff,
)
from consignment.domain.text import text_fault
from consignment.formats import strict_json
from consignment.formats.faults import Place, refusal, shown
from consignment.formats.structure import (
    Malformed,
    Member,
    Reader,
    boolean,
    decimal,
    faults_of,
    instant,
    listed,
    need_object,
    printable,
    record,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consignment.domain.message import Message

__all__ = [
    "MAX_MESSAGE_BYTES",
    "event_of",
    "jsonl_messages",
    "peek_id",
    "read_report",
    "write_event",
]

#: The largest message, in bytes.
MAX_MESSAGE_BYTES = strict_json.MAX_BYTES

_PREFIX = "consignment."
_MAX_ID = 128
_MAX_ORDER_ID = 129
