"""The file drop keeps what the port promises."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from consignment.adapters.filedrop import FileDrop
from consignment.testing.contracts import MessagingCapability, MessagingContract

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from consignment.domain.message import Recipient
    from consignment.ports.partner_messaging import PartnerMessaging


class TestFileDrop(MessagingContract):
    lacks = frozenset(
        # A file system's clock is too coarse to tell the order of files, and each partner has a
        # folder of its own, which is emptied before the next.
        {MessagingCapability.ARRIVAL_ORDER, MessagingCapability.ORDER_AMONG_PARTNERS}
    )

    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path / "drop"
        self.numbers = count(1)

    def make_messaging(self) -> PartnerMessaging:
        drop = FileDrop(self.root, sync=False).make_root()
        self.folders = {each: drop.make_inbound(each) for each in ("green-farm", "other-farm")}
        return drop

    def reopen_messaging(self) -> PartnerMessaging:
        return FileDrop(self.root)

    def inbox(self, recipient: Recipient) -> Sequence[str]:
        folder = self.root / "outbound" / recipient.kind.value / recipient.recipient_id
        return [path.stem for path in folder.iterdir()] if folder.exists() else []

    def put(self, partner_id: str, *messages: bytes) -> None:
        suffix = "json" if len(messages) == 1 else "jsonl"
        path = self.folders[partner_id] / f"{next(self.numbers):04}.{suffix}"
        path.write_bytes(b"\n".join(messages))

    def put_unusable(self, partner_id: str) -> None:
        (self.folders[partner_id] / f"{next(self.numbers):04}.jsonl").touch()
