"""The memory adapters keep what the ports promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consignment.adapters.memory import MemoryLedger, MemoryMessaging, MemoryStorage
from consignment.testing.contracts import (
    AccountBookContract,
    CreditingCapability,
    MessagingContract,
    StorageCapability,
    StorageContract,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consignment.domain.message import Recipient
    from consignment.ports.account_crediting import AccountBook, AccountCrediting
    from consignment.ports.partner_messaging import PartnerMessaging
    from consignment.ports.storage import Storage


class TestMemoryStorage(StorageContract):
    lacks = frozenset({StorageCapability.DURABLE})

    def make_storage(self) -> Storage:
        return MemoryStorage()


class TestMemoryLedger(AccountBookContract):
    lacks = frozenset({CreditingCapability.DURABLE})

    def make_crediting(self) -> AccountCrediting:
        self.ledger = MemoryLedger()
        return self.ledger

    def book(self) -> AccountBook:
        return self.ledger


class TestMemoryMessaging(MessagingContract):
    def make_messaging(self) -> PartnerMessaging:
        self.channel = MemoryMessaging()
        return self.channel

    def inbox(self, recipient: Recipient) -> Sequence[str]:
        return [message.message_id for message in self.channel.inbox(recipient)]

    def put(self, partner_id: str, *messages: bytes) -> None:
        self.channel.put(partner_id, *messages)

    def put_unusable(self, partner_id: str) -> None:
        self.channel.put_unusable(partner_id)
