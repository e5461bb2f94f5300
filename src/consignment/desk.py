"""The desk: everything the library does, bound to the ports that a host chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from attrs import define, field

from consignment.admission import Admission
from consignment.audit import Audit
from consignment.catalogue import Catalogue
from consignment.dispatch import Dispatch
from consignment.domain.settings import Settings
from consignment.formats.cloudevents import peek_id, read_report
from consignment.ports.name_forms import AsWritten
from consignment.progress import Progress
from consignment.push import Push
from consignment.quotas import Quotas
from consignment.relay import Relay, Relayed
from consignment.reporting import Received, Reporting
from consignment.sales_partners import SalesPartners
from consignment.settlement import SettledOrders, Settling

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from consignment.adapters.files import Limits
    from consignment.domain.partner import PartnerDetails
    from consignment.ports.account_crediting import AccountCrediting
    from consignment.ports.clock import Clock
    from consignment.ports.cooperation_history import CooperationHistory
    from consignment.ports.name_forms import NameForms
    from consignment.ports.partner_messaging import PartnerMessaging
    from consignment.ports.product_rows import ProductRow
    from consignment.ports.storage import Storage

__all__ = ["Consignment", "Work"]


def _name_forms() -> NameForms:
    from consignment.adapters.chinese import ChineseNames, installed

    return ChineseNames() if installed() else AsWritten()


class _NothingKnown:
    """The history of a bank without other systems."""

    def last_cooperation(self, partner: PartnerDetails, until: datetime) -> datetime | None:  # noqa: ARG002 - the port's signature
        return None


@define
class Work:
    """What one `work` did: the counts of each kind."""

    received: Received = field(factory=Received)
    expired: int = 0
    pushed: int = 0
    settled: SettledOrders = field(factory=SettledOrders)
    credits: Relayed = field(factory=Relayed)
    messages: Relayed = field(factory=Relayed)


class Consignment:
    """The consignment desk of a bank.

    Each attribute is a capability, each public method of it one use case:

    - `admission`: who may sell for us
    - `catalogue`: what they may sell
    - `sales_partners`: on whose behalf
    - `quotas`: how much at once
    - `dispatch`: demands become orders, orders reach partners
    - `reporting`: what partners report back
    - `progress`: how it is selling
    - `push`: sales data on schedule
    - `settlement`: profit to accounts
    - `relay`: messages and credits, carried out
    - `audit`: what happened

    `Consignment.open("sqlite:///bank.db")` is the embedded default; the constructor takes any
    ports. A desk may be used by several threads when its ports may. Close it, or use it as a
    context manager.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        messaging: PartnerMessaging,
        crediting: AccountCrediting,
        clock: Clock | None = None,
        history: CooperationHistory | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Bind ports; without a clock it is the system's, without a history nothing is known."""
        if clock is None:
            from consignment.adapters.system import SystemClock

            clock = SystemClock()
        settings = settings or Settings()
        history = history or _NothingKnown()
        self.storage = storage
        self.messaging = messaging
        self.crediting = crediting
        self.clock = clock
        self.settings = settings
        self.admission = Admission(storage, clock, history, settings)
        self.catalogue = Catalogue(storage, clock, settings)
        self.sales_partners = SalesPartners(storage, clock)
        self.quotas = Quotas(storage, clock)
        self.dispatch = Dispatch(storage, clock, settings)
        self.reporting = Reporting(storage, clock, messaging, read_report, peek_id)
        self.progress = Progress(storage, clock, settings)
        self.push = Push(storage, clock)
        self.settlement = Settling(storage, clock, settings)
        self.relay = Relay(storage, clock, messaging, crediting, settings)
        self.audit = Audit(storage)

    @classmethod
    def open(
        cls,
        url: str | Sequence[str] = "sqlite:///consignment.db",
        *,
        mailbox: str | Path = "mailbox",
        upgrade: bool = True,
        clock: Clock | None = None,
        history: CooperationHistory | None = None,
        settings: Settings | None = None,
        names: NameForms | None = None,
    ) -> Self:
        """Open the embedded default: a SQLite file with its ledger, and a mailbox of folders.

        `url` is SQLAlchemy's; several are the nodes of one Galera cluster.
        `mailbox` is the folder in which partners and sales partners have
        theirs (see `adapters.filedrop`). The schema is created or brought up to date, and the
        mailbox made, unless `upgrade` is False: then a missing or other schema is refused.

        `names` says in which forms names are found; without it Chinese ones are found by
        traditional characters and by initials of Pinyin where the extra `chinese` is installed.

        Raises `StorageUnusable` and its kinds `SchemaMissing`, `SchemaOutdated`, `SchemaNewer`;
        `StorageBusy`; `StorageReadOnly`.
        """
        from pathlib import Path

        from consignment.adapters.filedrop import FileDrop
        from consignment.adapters.sqlalchemy import Ledger, SqlStorage

        drop = FileDrop(Path(mailbox))
        if upgrade:
            cls.upgrade(url)
            drop.make_root()
        storage = SqlStorage.open(url, names=names or _name_forms())
        return cls(
            storage=storage,
            messaging=drop,
            crediting=Ledger(storage),
            clock=clock,
            history=history,
            settings=settings,
        )

    @staticmethod
    def upgrade(url: str | Sequence[str]) -> str:
        """Create the database at an address if need be, and bring its schema up to date.

        Gives the schema's version. Raises `SchemaNewer` and the other `StorageError` kinds.
        """
        from consignment.adapters.sqlalchemy import upgrade as upgrade_schema

        return upgrade_schema(url)

    @staticmethod
    def product_rows(
        path: str | Path,
        *,
        encoding: str | None = None,
        sheet: str | None = None,
        limits: Limits | None = None,
    ) -> Iterable[ProductRow]:
        """Open a file of product rows for `catalogue.import_products`.

        It is CSV, JSON Lines, XLSX (with the extra `xlsx`) or Parquet (with the extra `parquet`).
        Without `encoding` that of CSV is found out (UTF-8, GB 18030). Of a workbook the sheet with
        the name `sheet` is read, or else the first that is not hidden. `limits` are the caps on
        XLSX and Parquet. Raises `UnusableInput` with everything that is wrong with the file as a
        whole, `InvalidValue` for an encoding that is not one of the format's.
        """
        from consignment.adapters.files import open_product_rows

        return open_product_rows(path, encoding=encoding, sheet=sheet, limits=limits)

    @classmethod
    def in_memory(
        cls,
        *,
        clock: Clock | None = None,
        history: CooperationHistory | None = None,
        settings: Settings | None = None,
        names: NameForms | None = None,
    ) -> Self:
        """Make a desk that keeps everything in memory, for tests; `names` as for `open`."""
        from consignment.adapters.memory import MemoryLedger, MemoryMessaging, MemoryStorage

        return cls(
            storage=MemoryStorage(names=names or _name_forms()),
            messaging=MemoryMessaging(),
            crediting=MemoryLedger(),
            clock=clock,
            history=history,
            settings=settings,
        )

    def work(self) -> Work:
        """Do whatever is due, once: what came in, expiries, pushes, settlements, credits, messages.

        May be called by several workers at once, and again after a crash: each effect happens
        once. What fails is due again later, what fails too often is set aside (see `relay`).
        """
        return Work(
            received=self.reporting.receive_inbound(),
            expired=self.dispatch.expire_due(),
            pushed=self.push.push_due(),
            settled=self.settlement.settle_due(),
            credits=self.relay.credit_due(),
            messages=self.relay.deliver_due(),
        )

    def close(self) -> None:
        """Let go of connections and files."""
        self.storage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
