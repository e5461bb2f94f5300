"""A contract that cannot fail proves nothing: here each suite finds what is broken on purpose."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, TypeVar
from unittest import SkipTest

from attrs import evolve

from consignment.adapters.memory import MemoryLedger, MemoryMessaging, MemoryStorage
from consignment.testing.contracts import (
    AccountBookContract,
    CreditingCapability,
    MessagingContract,
    StorageCapability,
    StorageContract,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from consignment.domain.message import CreditInstruction, Message, Recipient
    from consignment.ports.account_crediting import AccountBook, AccountCrediting, CreditOutcome
    from consignment.ports.partner_messaging import Delivery, PartnerMessaging
    from consignment.ports.storage import Storage, Transaction

T = TypeVar("T")


def failing(
    contract: type[StorageContract | AccountBookContract | MessagingContract],
    kind: type[Exception] = Exception,
) -> set[str]:
    """Run every test of a contract, and name those that fail with a kind of error."""
    names = [name for name in dir(contract) if name.startswith("test_")]
    assert len(names) > 15
    failed = set()
    for name in names:
        case = contract()
        try:
            getattr(case, name)()
        except SkipTest:
            continue
        except Exception as error:  # noqa: BLE001 - however it fails
            if isinstance(error, kind):
                failed.add(name)
        finally:
            case.teardown_method()
    return failed


# A store whose failed transactions stand.


class _StoreWithoutRollback:
    def __init__(self) -> None:
        self._memory = MemoryStorage()

    def write(self, work: Callable[[Transaction], T], *, partner_id: str | None = None) -> T:  # noqa: ARG002 - there is one place
        error: BaseException | None = None

        def kept(t: Transaction) -> T | None:
            nonlocal error
            try:
                return work(t)
            except BaseException as raised:  # noqa: BLE001 - what is broken here
                error = raised
                return None

        result = self._memory.write(kept)
        if error is not None:
            raise error
        return result  # type: ignore[return-value] # None only after an error

    def read(self, work: Callable[[Transaction], T], *, one_instant: bool = True) -> T:
        return self._memory.read(work, one_instant=one_instant)

    def close(self) -> None:
        self._memory.close()


class _StoreWithoutRollbackCase(StorageContract):
    lacks = frozenset({StorageCapability.DURABLE})

    def make_storage(self) -> Storage:
        return _StoreWithoutRollback()


def test_a_store_that_loses_a_rollback_is_found() -> None:
    """A store in which failed transactions stand fails the storage contract where it says so."""
    assert failing(_StoreWithoutRollbackCase, AssertionError) >= {
        "test_additions_are_rolled_back_whole",
        "test_changes_are_rolled_back_whole",
        "test_an_interrupt_rolls_back_too",
        "test_a_storage_error_rolls_back_what_came_before_it",
        "test_a_claim_that_is_rolled_back_was_none",
        "test_a_stale_product_is_not_saved",
    }


# A ledger that forgets keys.


class _ForgetfulLedger(MemoryLedger):
    def credit(self, instructions: Sequence[CreditInstruction]) -> Sequence[CreditOutcome]:
        outcomes = super().credit(instructions)
        self._carried_out.clear()
        return outcomes


class _ForgetfulLedgerCase(AccountBookContract):
    lacks = frozenset({CreditingCapability.DURABLE})

    def make_crediting(self) -> AccountCrediting:
        self.ledger = _ForgetfulLedger()
        return self.ledger

    def book(self) -> AccountBook:
        return self.ledger


def test_a_ledger_that_forgets_keys_is_found() -> None:
    """Crediting that forgets its keys from call to call fails the crediting contract."""
    failed = failing(_ForgetfulLedgerCase, AssertionError)
    assert failed >= {
        "test_a_repeat_credits_nothing_more",
        "test_a_repeat_may_come_with_another_instant",
        "test_a_key_with_other_content_is_refused_finally",
        "test_large_batches_are_credited",
        "test_a_key_is_credited_once_by_many_at_once",
    }
    assert "test_a_repeat_within_one_call_credits_nothing_more" not in failed


# A channel that sends repeats under new ids.


class _RepeatingChannel(MemoryMessaging):
    def __init__(self) -> None:
        super().__init__()
        self._times = count(1)
        self._sent: set[str] = set()

    def deliver(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        renamed = []
        for message in messages:
            repeat = message.message_id in self._sent
            self._sent.add(message.message_id)
            new_id = f"{message.message_id}-{next(self._times)}"
            renamed.append(evolve(message, message_id=new_id) if repeat else message)
        return super().deliver(renamed)


class _RepeatingChannelCase(MessagingContract):
    def make_messaging(self) -> PartnerMessaging:
        self.channel = _RepeatingChannel()
        return self.channel

    def inbox(self, recipient: Recipient) -> Sequence[str]:
        return [message.message_id for message in self.channel.inbox(recipient)]

    def put(self, partner_id: str, *messages: bytes) -> None:
        self.channel.put(partner_id, *messages)

    def put_unusable(self, partner_id: str) -> None:
        self.channel.put_unusable(partner_id)


def test_a_channel_that_repeats_messages_is_found() -> None:
    """A channel that hands a repeat over under a new id fails exactly the tests of repeats."""
    assert failing(_RepeatingChannelCase) == {
        "test_a_repeat_changes_nothing_for_the_recipient",
        "test_a_repeat_within_one_call_changes_nothing",
        "test_a_repeat_after_others_changes_no_order",
        "test_a_repeat_after_a_restart_changes_nothing",
    }


# And what is not broken.


class _SoundStoreCase(StorageContract):
    lacks = frozenset({StorageCapability.DURABLE})

    def make_storage(self) -> Storage:
        return MemoryStorage()


def test_a_sound_store_fails_nothing() -> None:
    """Run the same way, the contract finds nothing wrong with a store that is not broken."""
    assert failing(_SoundStoreCase) == set()
