"""A double-entry ledger in the same database: both sides of each credit, once per key."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from attrs import frozen
from sqlalchemy import bindparam, func, insert, select

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.codec import instant, micros, new_entry_id
from consignment.adapters.sqlalchemy.engines import upsert
from consignment.adapters.sqlalchemy.statements import KEYS, Session, Statement
from consignment.adapters.sqlalchemy.storage import SqlStorage
from consignment.domain.digest import content_digest
from consignment.domain.money import Money
from consignment.ports.account_crediting import CreditOutcome, Posting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.sql.base import Executable

    from consignment.adapters.sqlalchemy.engines import Address, Synchronous
    from consignment.adapters.sqlalchemy.statements import Row
    from consignment.domain.message import CreditInstruction
    from consignment.ports.account_crediting import AccountBook, AccountCrediting

__all__ = ["Discrepancy", "Ledger"]

_ENTRIES = tables.ledger_entries.c
_POSTINGS = tables.ledger_postings.c
_BALANCES = tables.ledger_balances.c


@frozen
class Discrepancy:
    """A balance that is not what its postings sum to, or an entry that is not balanced.

    `name` is the account or the entry's key, `stored` what is written there (0 for an entry, whose
    postings have to sum to nothing), `summed` what the postings say.
    """

    name: str
    partner_id: str
    stored: Money
    summed: Money


_ADD_ENTRIES = Statement(insert(tables.ledger_entries))
_ADD_POSTINGS = Statement(insert(tables.ledger_postings))


def _add_to_balances(dialect: str) -> Executable:
    return upsert(dialect, tables.ledger_balances, added=("balance_minor",))


_ADD_TO_BALANCES = Statement(_add_to_balances, *_BALANCES.keys())
# By the key alone: under one key there is one credit, whoever's it is.
_DIGESTS = Statement(
    select(_ENTRIES.entry_key, _ENTRIES.digest).where(
        _ENTRIES.entry_key.in_(bindparam(KEYS, expanding=True))
    )
)
_BALANCE = Statement(
    select(_BALANCES.currency, _BALANCES.balance_minor)
    .where(_BALANCES.account == bindparam("account"))
    .order_by(_BALANCES.currency),
    "account",
)
_OF_ACCOUNT = Statement(
    select(
        _POSTINGS.entry_key,
        _POSTINGS.account,
        _POSTINGS.counter_account,
        _POSTINGS.amount_minor,
        _POSTINGS.currency,
        _ENTRIES.order_id,
        _ENTRIES.instructed_at,
    )
    .select_from(
        tables.ledger_postings.join(
            tables.ledger_entries,
            (_ENTRIES.entry_key == _POSTINGS.entry_key)
            & (_ENTRIES.partner_id == _POSTINGS.partner_id),
        )
    )
    .where(_POSTINGS.account == bindparam("account"))
    .order_by(_POSTINGS.entry_id, _POSTINGS.entry_no)
    .limit(bindparam("limit"))
    .offset(bindparam("offset")),
    "account",
    "limit",
    "offset",
)
_ALL_BALANCES = Statement(
    select(
        _BALANCES.account, _BALANCES.partner_id, _BALANCES.currency, _BALANCES.balance_minor
    ).order_by(_BALANCES.account, _BALANCES.currency, _BALANCES.partner_id)
)
_SUM = func.sum(_POSTINGS.amount_minor)
_SUMS_BY_ACCOUNT = Statement(
    select(_POSTINGS.account, _POSTINGS.partner_id, _POSTINGS.currency, _SUM)
    .group_by(_POSTINGS.account, _POSTINGS.partner_id, _POSTINGS.currency)
    .order_by(_POSTINGS.account, _POSTINGS.currency, _POSTINGS.partner_id)
)
_UNBALANCED = Statement(
    select(_POSTINGS.entry_key, _POSTINGS.partner_id, _POSTINGS.currency, _SUM)
    .group_by(_POSTINGS.entry_key, _POSTINGS.partner_id, _POSTINGS.currency)
    .having(_SUM != 0)
    .order_by(_POSTINGS.entry_key, _POSTINGS.partner_id, _POSTINGS.currency)
)


class Ledger:
    """Account crediting by double entry: what a beneficiary gains, the payer loses.

    Accounts are the instructions' `payer` and `beneficiary`. All postings of a currency sum to
    zero, and nothing that was posted is ever changed. Rows are placed by the instruction's partner:
    an account that several partners pay has a balance with each, and `balance` sums them up.
    """

    def __init__(self, storage: SqlStorage) -> None:
        self._storage = storage

    @classmethod
    def open(
        cls, url: Address, *, synchronous: Synchronous = "FULL", busy_timeout_s: float = 5.0
    ) -> Ledger:
        """Open the ledger at an address; as `SqlStorage.open`, and raises the same."""
        return cls(SqlStorage.open(url, synchronous=synchronous, busy_timeout_s=busy_timeout_s))

    def credit(self, instructions: Sequence[CreditInstruction]) -> Sequence[CreditOutcome]:
        """Carry out instructions in one transaction, each at most once per key.

        Refused finally are a key that was used with other content, an amount that is not above
        zero, and an account that would pay itself. A `StorageError` means that none of them was
        carried out.
        """
        if not instructions:
            return []
        return self._storage.write_session(lambda session: _credit(session, instructions))

    def balance(self, account: str) -> list[Money]:
        """Give an account's balance in each currency by rising code; empty if it has none."""
        rows = self._storage.read_session(lambda session: session.rows(_BALANCE, account))
        balances: dict[str, int] = {}
        for currency, minor in rows:
            balances[currency] = balances.get(currency, 0) + minor
        return [Money(minor, currency) for currency, minor in balances.items()]

    def postings(self, account: str, *, offset: int = 0, limit: int = 1000) -> list[Posting]:
        """Give an account's postings in the order they were made, `limit` from the `offset`-th."""
        rows = self._storage.read_session(
            lambda session: session.rows(_OF_ACCOUNT, account, limit, offset)
        )
        return [
            Posting(row[0], row[1], row[2], Money(row[3], row[4]), row[5], instant(row[6]))
            for row in rows
        ]

    def trial_balance(self) -> list[Money]:
        """Give the sum over all accounts in each currency by rising code: all of them zero."""
        totals: defaultdict[str, int] = defaultdict(int)
        for _, _, currency, minor in self._storage.read_session(
            lambda session: session.rows(_ALL_BALANCES)
        ):
            totals[currency] += minor
        return [Money(totals[currency], currency) for currency in sorted(totals)]

    def check(self) -> list[Discrepancy]:
        """Sum up all postings anew, and give what does not agree with them."""
        return self._storage.read_session(_check)

    def close(self) -> None:
        """Let go of the connections. Closing twice is allowed."""
        self._storage.close()


def _credit(session: Session, instructions: Sequence[CreditInstruction]) -> list[CreditOutcome]:
    digests: dict[str, str] = dict(session.rows_by(_DIGESTS, (each.key for each in instructions)))
    entry_id = new_entry_id()
    entries: list[Row] = []
    postings: list[Row] = []
    changes: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    outcomes = []
    for wanted in instructions:
        digest = _digest(wanted)
        earlier = digests.get(wanted.key)
        fault = _fault(wanted, digest, earlier)
        outcomes.append(CreditOutcome(fault, final=fault is not None))
        if fault is not None or earlier is not None:
            continue
        digests[wanted.key] = digest
        entries.append(
            (
                wanted.key,
                wanted.partner_id,
                digest,
                wanted.order_id,
                wanted.settlement_id,
                micros(wanted.instructed_at),
            )
        )
        minor, currency = wanted.amount.minor, wanted.amount.currency
        for account, counter, amount in (
            (wanted.payer, wanted.beneficiary, -minor),
            (wanted.beneficiary, wanted.payer, minor),
        ):
            postings.append(
                (
                    account,
                    entry_id,
                    len(postings),
                    wanted.partner_id,
                    wanted.key,
                    counter,
                    currency,
                    amount,
                )
            )
            changes[account, currency, wanted.partner_id] += amount
    session.add(_ADD_ENTRIES, entries)
    session.add(_ADD_POSTINGS, postings)
    # In one order for everybody, so that two transactions never wait for each other.
    session.add(_ADD_TO_BALANCES, [(*of, change) for of, change in sorted(changes.items())])
    return outcomes


def _digest(instruction: CreditInstruction) -> str:
    amount = instruction.amount
    return content_digest(instruction.payer, instruction.beneficiary, amount.minor, amount.currency)


def _fault(wanted: CreditInstruction, digest: str, earlier: str | None) -> str | None:
    if earlier not in {None, digest}:
        return f"key {wanted.key} was used with other content"
    if wanted.amount.minor <= 0:
        return f"amount {wanted.amount} is not positive"
    if wanted.payer == wanted.beneficiary:
        return f"{wanted.payer} would pay itself"
    return None


def _check(session: Session) -> list[Discrepancy]:
    stored = {(row[0], row[1], row[2]): row[3] for row in session.rows(_ALL_BALANCES)}
    summed = {(row[0], row[1], row[2]): int(row[3]) for row in session.rows(_SUMS_BY_ACCOUNT)}
    wrong = [
        _discrepancy(key, stored.get(key, 0), summed.get(key, 0))
        for key in sorted(stored.keys() | summed.keys())
        if stored.get(key, 0) != summed.get(key, 0)
    ]
    wrong += [
        _discrepancy((row[0], row[1], row[2]), 0, int(row[3])) for row in session.rows(_UNBALANCED)
    ]
    return wrong


def _discrepancy(of: tuple[str, str, str], stored: int, summed: int) -> Discrepancy:
    name, partner_id, currency = of
    return Discrepancy(name, partner_id, Money(stored, currency), Money(summed, currency))


if TYPE_CHECKING:
    _crediting: type[AccountCrediting] = Ledger
    _book: type[AccountBook] = Ledger
