"""Random commands, legal and illegal, against a desk in memory and one over SQL, side by side.

`CONSIGNMENT_STATE_MACHINE=500x80` runs 500 examples of 80 steps each, on every engine. Without it
servers, which are slower to ask than a file, get a few only.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from consignment.adapters.memory import ManualClock, MemoryLedger, MemoryStorage
from consignment.adapters.sqlalchemy import Ledger, SqlStorage
from consignment.desk import Consignment
from consignment.domain.errors import ConsignmentError, Refused
from consignment.domain.message import IntentState
from consignment.domain.money import Money
from consignment.domain.order import ConsignmentDemand, DemandLine, OrderState, PurchaseOrder
from consignment.domain.quota import Quota
from consignment.domain.rule import (
    Band,
    Basis,
    Deduction,
    DeductionKind,
    Ladder,
    LadderMethod,
    Percent,
    PerUnit,
    SettlementRule,
    Share,
    Withholding,
)
from consignment.domain.settings import BackOff, Settings
from consignment.testing import builders
from tests import engines
from tests.system.flaky import Died, Fate, FlakyLedger, FlakyMessaging
from tests.system.snapshot import Eye, Snapshot, check, of_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consignment.domain.report import PartnerReport

_FILE, _SERVER = ("100x40", "15x40") if os.environ.get("CI") else ("40x30", "10x30")


def size(engine: str) -> tuple[int, int]:
    """Give how many examples of how many steps an engine gets."""
    default = _SERVER if engine in engines.SERVERS else _FILE
    examples, steps = os.environ.get("CONSIGNMENT_STATE_MACHINE", default).split("x")
    return int(examples), int(steps)


START = datetime(2026, 9, 1, 2, 0, tzinfo=UTC)
PARTNERS = ("farm-1", "farm-2", "farm-3")
LINES = ("retail", "corporate")
SALES_PARTNERS = ("sp-1", "sp-2")
#: Product numbers, with whom they belong to, decimal places of the unit, and the agreed price.
PRODUCTS = {
    "APPLE": ("farm-1", 0, "68.80"),
    "RICE": ("farm-1", 3, "3.33"),
    "FISH": ("farm-2", 2, "12.50"),
    "TEA": ("farm-2", 0, "199.99"),
}
SETTINGS = Settings(
    answer_days=2,
    lease=timedelta(minutes=5),
    back_off=BackOff(first=timedelta(minutes=1), longest=timedelta(minutes=30), tries=3),
)


def rules_of_settlement() -> list[SettlementRule]:
    """Give rules of every kind; some conflict with others, or name somebody unknown."""
    bands = (Band("0", "3"), Band("100.00", "5"), Band("500.00", "8"))
    tax = Withholding("tax", "5.00", "20")
    freight = Deduction("freight", DeductionKind.REPORTED)
    platform = Deduction("platform", DeductionKind.PERCENT_OF_NET_SALES, "0.6")
    to_all = (Share("sales_partner", "45", tax), Share("partner", "35"), Share("bank", "20"))
    make = builders.a_rule
    day = date(2026, 9, 2)
    return [
        make("base", 2, effective_from=day, basis=Basis.SPREAD, shares=to_all),
        make("base", 1, basis=Basis.SALES, shares=to_all),
        make("other"),
        make("apple", scope="product:APPLE", basis=Basis.SALES, amount=PerUnit(value="0.125")),
        make(
            "rice",
            scope="product:RICE",
            basis=Basis.SPREAD,
            deductions=(freight, platform),
            amount=Percent(percent="12.5", minimum="1.00", cap="20.00"),
            shares=to_all,
        ),
        make(
            "farm-2",
            scope="partner:farm-2",
            basis=Basis.SALES,
            amount=Ladder(method=LadderMethod.MARGINAL, bands=bands, minimum="6.00", cap="50.00"),
            shares=(Share("sales_partner:sp-2", "1"), Share("sales_partner", "2", tax)),
        ),
        make(
            "tea",
            scope="product:TEA",
            amount=Ladder(method=LadderMethod.WHOLE_AMOUNT, bands=bands),
            deductions=(platform,),
            shares=(Share("partner", "1"),),
        ),
        make("nobody", scope="business_line:retail", shares=(Share("sales_partner:sp-9", "1"),)),
        make(
            "corporate",
            scope="business_line:corporate",
            deductions=(freight,),
            shares=(Share("bank", "1"), Share("sales_partner", "0"), Share("partner", "1")),
        ),
        make("dollar", scope="partner:farm-1", amount=PerUnit(value="1.00"), currency="USD"),
    ]


RULES = rules_of_settlement()
RUNNING = {
    OrderState.PLACED,
    OrderState.DISPATCHED,
    OrderState.ACCEPTED,
    OrderState.PROCURING,
    OrderState.ON_SALE,
}


@frozen
class Side:
    """One of the two desks, with what is behind it."""

    desk: Consignment
    messaging: FlakyMessaging
    crediting: FlakyLedger
    look: Callable[[], Snapshot]
    close: Callable[[], None]


def memory_side(clock: ManualClock) -> Side:
    """Make a desk in memory."""
    storage, messaging, ledger = MemoryStorage(), FlakyMessaging(), MemoryLedger()
    crediting = FlakyLedger(ledger)
    desk = Consignment(
        storage=storage, messaging=messaging, crediting=crediting, clock=clock, settings=SETTINGS
    )
    return Side(desk, messaging, crediting, lambda: of_memory(storage, ledger), desk.close)


def sql_side(clock: ManualClock, url: str) -> Side:
    """Make a desk over a database."""
    storage = SqlStorage.open(url, synchronous="OFF")
    messaging, crediting = FlakyMessaging(), FlakyLedger(Ledger(storage))
    desk = Consignment(
        storage=storage, messaging=messaging, crediting=crediting, clock=clock, settings=SETTINGS
    )
    eye = Eye(url)

    def close() -> None:
        eye.close()
        desk.close()

    return Side(desk, messaging, crediting, eye.look, close)


def row(number: str, **changes: object) -> dict[str, Any]:
    """Give a row of a product import."""
    _, places, price = PRODUCTS.get(number, ("", 0, "1.00"))
    plain = {
        "number": number,
        "name": f"产品 {number}",
        "unit": "KG",
        "unit_places": str(places),
        "currency": "CNY",
        "agreed_price": price,
    }
    return {**plain, **changes}


def plainly(answer: object) -> object:
    """Give an answer in a form in which two answers can be compared."""
    if isinstance(answer, Refused):
        return type(answer).__name__, [each.as_dict() for each in answer.reasons]
    if isinstance(answer, list | tuple):
        return [plainly(each) for each in answer]
    return answer


# What commands are made of.

partner_ids = st.sampled_from([*PARTNERS[:2], *PARTNERS])
numbers = st.sampled_from(list(PRODUCTS))
counts = st.integers(1, 12)
odd_quantities = st.sampled_from(["0", "-1", "0.5", "1.0001", "1000000", "3.25"])
prices = st.sampled_from(["68.80", "200.00", "9.99", "1.00", "0.01", "0"])
odd_prices = st.sampled_from(["-1.00", "1.001", "99999999999999.00"])
demand_ids = st.integers(0, 9).map("D-{}".format)
report_ids = st.integers(0, 400).map("R-{}".format)
fates = st.lists(st.sampled_from(list(Fate)), max_size=6)
rows = st.lists(
    st.builds(
        row,
        st.sampled_from([*PRODUCTS, "NEW", "APPLE", ""]),
        name=st.sampled_from(["苹果", "产品 APPLE", "ｔｅａ", " ", "鱼"]),
        agreed_price=st.sampled_from(["68.80", "3.33", "5.00", "1.005", "NaN"]),
        unit=st.sampled_from(["KG", "KG", "BX"]),
    ),
    max_size=4,
)


@st.composite
def demand_lines(draw: st.DrawFn) -> tuple[DemandLine, ...]:
    """Draw the lines of a demand, seldom with something wrong."""
    chosen = draw(st.lists(numbers, min_size=1, max_size=3, unique=True))
    lines = [DemandLine(number, draw(counts)) for number in chosen]
    if draw(st.integers(0, 9)) == 0:
        lines[0] = DemandLine(chosen[0], draw(odd_quantities))
    if draw(st.integers(0, 19)) == 0:
        lines.append(DemandLine("NOWHERE", 1))
    return tuple(lines)


demands = st.builds(
    ConsignmentDemand,
    demand_ids,
    st.sampled_from(["retail", "retail", "retail", "corporate", "interbank"]),
    st.sampled_from(["sp-1", "sp-1", "sp-2", "sp-1", "sp-2", "sp-9"]),
    demand_lines(),
)


MAKERS: dict[str, Callable[..., PartnerReport]] = {
    "sold": builders.sold,
    "returned": builders.returned,
    "sent_back": builders.sent_back,
    "written_off": builders.written_off,
}


def _likely(order: PurchaseOrder) -> list[str]:
    """Give the kinds of report that fit an order, likely ones several times."""
    kinds = ["procured", *MAKERS, "sold", "expense"]
    if order.state is OrderState.ACCEPTED:
        return [*kinds, *["procured"] * 6]
    if any(line.unsold for line in order.lines):
        return [*kinds, "sold", "sold", "sent_back"]
    return [*kinds, *["completed"] * 6]


def _goods(data: st.DataObject, order: PurchaseOrder, kind: str) -> list[Any]:
    """Draw lines of goods that there are for a kind of report; nothing when there are none."""
    everything = data.draw(st.booleans())
    goods: list[Any] = []
    for line in order.lines:
        there = {
            "procured": line.ordered - line.procured,
            "returned": line.net_sold,
            "expense": 0,
        }.get(kind, line.unsold)
        if there > 0 and (everything or data.draw(st.booleans())):
            count = there if everything else data.draw(st.integers(1, there))
            amount = [] if kind == "written_off" else [data.draw(prices)]
            goods.append((line.product_number, _text(count, line.unit_places), *amount))
    return goods


class TwoDesks(RuleBasedStateMachine):
    """What one desk answers, the other does."""

    engine: str

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        url = engines.empty(self.engine, Path(self.folder.name))
        self.clock = ManualClock(START)
        self.sides = (memory_side(self.clock), sql_side(self.clock, url))
        self.facts: list[Any] = []
        self.placed: list[ConsignmentDemand] = []
        self.reported: list[tuple[str, PartnerReport]] = []

    def teardown(self) -> None:
        try:
            self.come_to_rest()
        finally:
            for side in self.sides:
                side.close()
            self.folder.cleanup()

    # How both are asked, and looked at.

    def both(self, ask: Callable[[Consignment], object]) -> object:
        """Ask both desks, check that they answer the same, and give the answer."""
        answers: list[object] = []
        for side in self.sides:
            try:
                answers.append(plainly(ask(side.desk)))
            except Refused as refused:
                answers.append(plainly(refused))
            except (ConsignmentError, Died) as error:
                answers.append(type(error).__name__)
        assert answers[0] == answers[1]
        return answers[0]

    @invariant()
    def all_holds(self) -> None:
        """Both stores hold the same, everything holds of it, and no fact was taken back."""
        memory, sql = (side.look() for side in self.sides)
        for part in Snapshot.__slots__:
            if not part.startswith("_"):
                one, other = getattr(memory, part), getattr(sql, part)
                assert (sorted(one) == sorted(other)) if part == "postings" else one == other, part
        check(memory)
        check(sql)
        assert sql.facts[: len(self.facts)] == self.facts
        self.facts = sql.facts
        for side in self.sides:
            done = {id_ for id_, entry in sql.outbox.items() if entry["state"] == "done"}
            credits_done = {id_ for id_, entry in sql.outbox.items() if entry["kind"] == "credit"}
            # A worker that died may have told nobody; nothing is done that was not told.
            assert done - credits_done <= side.messaging.told.keys()

    def orders(self) -> list[PurchaseOrder]:
        found = self.sides[0].desk.storage.read(
            lambda tx: list(tx.orders.in_state(list(OrderState), limit=1000))
        )
        return sorted(found, key=lambda order: order.order_id)

    def fate(self, of_messages: Sequence[Fate], of_credits: Sequence[Fate]) -> None:
        for side in self.sides:
            side.messaging.fates.tell(of_messages)
            side.crediting.fates.tell(of_credits)

    # The beginning.

    @initialize(
        policy_late=st.booleans(),
        data=st.data(),
        new_rules=st.lists(st.sampled_from(RULES), max_size=4),
        first=st.lists(demand_lines(), min_size=1, max_size=3),
    )
    def open_the_bank(
        self,
        data: st.DataObject,
        new_rules: list[SettlementRule],
        first: list[tuple[DemandLine, ...]],
        *,
        policy_late: bool,
    ) -> None:
        if policy_late:
            self.both(lambda desk: desk.admission.request(builders.an_admission_request()))
        self.both(lambda desk: desk.admission.set_policy(builders.a_policy(validity_days=30)))
        for sales_partner_id, cron in zip(SALES_PARTNERS, ("0 */6 * * *", None), strict=True):
            added = builders.a_sales_partner(sales_partner_id, cron=cron)
            self.both(lambda desk, added=added: desk.sales_partners.add(added))  # type: ignore[misc] # bound now
        for partner_id in PARTNERS[:2]:
            request = builders.an_admission_request(f"ADM-{partner_id}", partner_id, lines=LINES)
            self.both(lambda desk, request=request: desk.admission.request(request))  # type: ignore[misc] # bound now
            mine = [row(number) for number, (owner, *_) in PRODUCTS.items() if owner == partner_id]
            self.both(
                lambda desk, partner_id=partner_id, mine=mine: desk.catalogue.import_products(  # type: ignore[misc] # bound now
                    partner_id, mine
                )
            )
        for new in (RULES[1], *new_rules):
            self.add_rule(new)
        for i, lines in enumerate(first):
            self.place(ConsignmentDemand(f"D-{i}", "retail", SALES_PARTNERS[i % 2], lines))
            self.run_an_order(data)

    # Admission.

    @rule(
        partner_id=partner_ids,
        number=st.integers(0, 3),
        score=st.sampled_from(["90", "59"]),
        lines=st.sampled_from([("retail",), LINES, ("interbank",)]),
        assessed=st.booleans(),
    )
    def admit(
        self, partner_id: str, number: int, score: str, lines: tuple[str, ...], *, assessed: bool
    ) -> None:
        request = builders.an_admission_request(
            f"ADM-{number}",
            partner_id,
            lines=lines,
            assessments=builders.assessments(score) if assessed else (),
        )
        self.both(lambda desk: desk.admission.request(request))

    @rule(number=st.integers(0, 4), score=st.sampled_from(["90", "59"]))
    def assess(self, number: int, score: str) -> None:
        given = builders.assessments(score)
        self.both(lambda desk: desk.admission.assess(f"ADM-{number}", given, actor="officer:li"))

    @rule(
        partner_id=partner_ids,
        move=st.sampled_from(["suspend", "reinstate", "reinstate", "exit", "leave"]),
        likely=st.integers(0, 3),
    )
    def move_partner(self, partner_id: str, move: str, likely: int) -> None:
        if move in {"exit", "leave"} and likely:
            move = "reinstate"

        def ask(desk: Consignment) -> object:
            admission = desk.admission
            if move == "suspend":
                return admission.suspend(partner_id, why="检查", actor="officer:li")
            if move == "reinstate":
                return admission.reinstate(partner_id, why="没事", actor="officer:li")
            return admission.exit(
                partner_id, why="停业", actor="officer:li", for_cause=move == "exit"
            )

        self.both(ask)

    # Catalogue, quotas, rules.

    @rule(partner_id=partner_ids, rows=rows, whole=st.booleans())
    def import_products(self, partner_id: str, rows: list[dict[str, Any]], *, whole: bool) -> None:
        self.both(
            lambda desk: desk.catalogue.import_products(partner_id, rows, all_or_nothing=whole)
        )

    @rule(
        limits=st.dictionaries(
            st.sampled_from(
                [
                    "total",
                    "business_line:retail",
                    "business_line:corporate",
                    "partner:farm-1",
                    "partner:farm-2",
                    "product:APPLE",
                    "product:RICE",
                    "product:NOWHERE",
                    "partner:nobody",
                ]
            ),
            st.sampled_from(["0", "50.00", "700.00", "1500.00", "100000.00", "100000.00"]),
            min_size=1,
            max_size=4,
        )
    )
    def set_quotas(self, limits: dict[str, str]) -> None:
        quotas = [Quota.of(scope, Money.of(limit, "CNY")) for scope, limit in limits.items()]
        self.both(lambda desk: desk.quotas.set(quotas))

    @rule(new=st.sampled_from(RULES))
    def add_rule(self, new: SettlementRule) -> None:
        self.both(lambda desk: desk.settlement.add_rule(new))

    # Demands and orders.

    @rule(demand=demands)
    def place(self, demand: ConsignmentDemand) -> None:
        self.placed.append(demand)
        self.both(lambda desk: desk.dispatch.place(demand))

    @rule(batch=st.lists(demands, min_size=2, max_size=4))
    def place_many(self, batch: list[ConsignmentDemand]) -> None:
        self.placed += batch
        self.both(lambda desk: desk.dispatch.place_many(batch))

    @precondition(lambda self: self.placed)
    @rule(data=st.data())
    def place_again(self, data: st.DataObject) -> None:
        demand = data.draw(st.sampled_from(self.placed))
        self.both(lambda desk: desk.dispatch.place(demand))

    @precondition(lambda self: self.facts)
    @rule(
        data=st.data(), move=st.sampled_from(["cancel", "short_close"]), why=st.sampled_from("甲乙")
    )
    def end_order(self, data: st.DataObject, move: str, why: str) -> None:
        order_id = self._some_order(data)
        self.both(lambda desk: getattr(desk.dispatch, move)(order_id, why=why))

    def _some_order(self, data: st.DataObject) -> str:
        known = [order.order_id for order in self.orders()]
        if not known or not data.draw(st.integers(0, 9)):
            return "D-99:farm-1"
        return data.draw(st.sampled_from(known))

    # Reports.

    def _sensible(self, data: st.DataObject, order: PurchaseOrder) -> PartnerReport:
        """Make a report that may well be taken in the order's state, as often as not of all."""
        id_, order_id = data.draw(report_ids), order.order_id
        if order.state in {OrderState.PLACED, OrderState.DISPATCHED}:
            answer = builders.accepted if data.draw(st.integers(0, 5)) else builders.rejected
            return answer(order_id, report_id=id_)
        kind = data.draw(st.sampled_from(_likely(order)))
        if kind == "completed":
            return builders.completed(order_id, report_id=id_)
        goods = _goods(data, order, kind)
        if not goods:
            return builders.expense(order_id, amount=data.draw(prices), report_id=id_)
        if kind == "procured":
            final = data.draw(st.booleans())
            return builders.procured(order_id, *goods, report_id=id_, final=final)
        return MAKERS[kind](order_id, *goods, report_id=id_)

    def _any(self, data: st.DataObject, order_id: str) -> PartnerReport:
        """Make a report of any kind, whatever the order says to it."""
        id_ = data.draw(report_ids)
        number = data.draw(numbers)
        quantity = data.draw(st.one_of(counts.map(str), odd_quantities))
        goods = number, quantity, data.draw(st.one_of(prices, odd_prices))
        kind = data.draw(st.integers(0, 8))
        if kind == 0:
            return builders.accepted(order_id, report_id=id_)
        if kind == 1:
            return builders.rejected(order_id, report_id=id_)
        if kind == 2:
            return builders.written_off(order_id, (number, quantity), report_id=id_)
        if kind == 3:
            currency = data.draw(st.sampled_from(["CNY", "USD"]))
            amount = data.draw(st.one_of(prices, odd_prices))
            return builders.expense(order_id, amount=amount, report_id=id_, currency=currency)
        if kind == 4:
            return builders.completed(order_id, report_id=id_)
        make = (builders.procured, builders.sold, builders.returned, builders.sent_back)[kind - 5]
        return make(order_id, goods, report_id=id_)

    def _report(self, data: st.DataObject) -> tuple[str, PartnerReport]:
        """Make a report and say who sends it: mostly the order's partner, mostly sensibly."""
        known = self.orders()
        running = [order for order in known if order.state in RUNNING]
        sensible = data.draw(st.integers(0, 5))
        if running and sensible:
            order = data.draw(st.sampled_from(running))
            return order.partner_id, self._sensible(data, order)
        order_id = self._some_order(data)
        owner = order_id.partition(":")[2]
        sender = data.draw(st.sampled_from([owner, owner, owner, *PARTNERS]))
        return sender, self._any(data, order_id)

    @precondition(lambda self: self.placed)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        sender, report = self._report(data)
        self.reported.append((sender, report))
        self.both(lambda desk: desk.reporting.take(sender, report))

    @precondition(lambda self: self.placed)
    @rule(data=st.data())
    def run_an_order(self, data: st.DataObject) -> None:
        """Let a partner report several things of one order, each as it fits by then."""
        ids = [order.order_id for order in self.orders() if order.state in RUNNING]
        if not ids:
            return
        order_id = data.draw(st.sampled_from(ids))
        for _ in range(data.draw(st.integers(2, 7))):
            order = self.sides[0].desk.dispatch.order(order_id)
            if order.state not in RUNNING:
                return
            report = self._sensible(data, order)
            self.reported.append((order.partner_id, report))
            self.both(
                lambda desk, order=order, report=report: desk.reporting.take(  # type: ignore[misc] # bound now
                    order.partner_id, report
                )
            )

    @precondition(lambda self: self.placed)
    @rule(data=st.data(), price=prices, number=st.integers(0, 400))
    def sell_out(self, data: st.DataObject, price: str, number: int) -> None:
        """Let a partner report all at once that is still to be said of an order."""
        running = [order for order in self.orders() if order.state in RUNNING]
        if not running:
            return
        order = data.draw(st.sampled_from(running))
        order_id, tag = order.order_id, f"R-{number}"
        batch: list[PartnerReport] = []
        if order.state in {OrderState.PLACED, OrderState.DISPATCHED}:
            batch.append(builders.accepted(order_id, report_id=f"{tag}a"))
        more = [] if any(line.delivery_final for line in order.lines) else list(order.lines)
        missing = [
            (line.product_number, _text(line.ordered - line.procured, line.unit_places), price)
            for line in more
            if line.ordered > line.procured
        ]
        unsold = [
            (
                line.product_number,
                _text(
                    line.unsold + (line.ordered - line.procured if more else 0), line.unit_places
                ),
                price,
            )
            for line in order.lines
            if line.unsold or (more and line.ordered > line.procured)
        ]
        if missing:
            batch.append(builders.procured(order_id, *missing, report_id=f"{tag}p"))
        if unsold:
            batch.append(builders.sold(order_id, *unsold, report_id=f"{tag}s"))
        batch.append(builders.completed(order_id, report_id=f"{tag}c"))
        self.both(lambda desk: desk.reporting.take_many(order.partner_id, batch))

    @precondition(lambda self: self.placed)
    @rule(data=st.data(), size=st.integers(2, 5))
    def report_many(self, data: st.DataObject, size: int) -> None:
        """A batch of one partner, in which reports may repeat or contradict one another."""
        sender, first = self._report(data)
        batch = [first]
        while len(batch) < size:
            another = data.draw(st.booleans())
            batch.append(self._report(data)[1] if another else first)
        self.reported += [(sender, each) for each in batch]
        self.both(lambda desk: desk.reporting.take_many(sender, batch))

    @precondition(lambda self: self.reported)
    @rule(data=st.data())
    def report_again(self, data: st.DataObject) -> None:
        sender, report = data.draw(st.sampled_from(self.reported))
        self.both(lambda desk: desk.reporting.take(sender, report))

    @rule(
        partner_id=partner_ids,
        raw=st.lists(
            st.sampled_from([b"", b"{", b'{"id": "R-1"}', b'{"id": "R-2", "x": NaN}', b"[1]"]),
            min_size=1,
            max_size=3,
        ),
        by_channel=st.booleans(),
    )
    def receive(self, partner_id: str, raw: list[bytes], *, by_channel: bool) -> None:
        if by_channel:
            for side in self.sides:
                side.messaging.put(partner_id, *raw)
        else:
            self.both(lambda desk: desk.reporting.receive(partner_id, raw))

    # Time and work.

    @rule(hours=st.sampled_from([0.02, 1, 7, 30, 60]))
    def wait(self, hours: float) -> None:
        self.clock.advance(hours=hours)

    @rule(of_messages=fates, of_credits=fates)
    def work(self, of_messages: list[Fate], of_credits: list[Fate]) -> None:
        self.fate(of_messages, of_credits)
        self.both(Consignment.work)
        self.fate((), ())

    @rule(of_messages=fates)
    def deliver(self, of_messages: list[Fate]) -> None:
        self.fate(of_messages, ())
        self.both(lambda desk: desk.relay.deliver_due())
        self.fate((), ())

    @rule(of_credits=st.lists(st.sampled_from(list(Fate)), min_size=1, max_size=4))
    def credit(self, of_credits: list[Fate]) -> None:
        self.both(lambda desk: desk.settlement.settle_due())
        self.fate((), of_credits)
        self.both(lambda desk: desk.relay.credit_due())
        self.fate((), ())

    @rule()
    def recover(self) -> None:
        self.both(lambda desk: desk.relay.recover())

    @rule()
    def push(self) -> None:
        self.both(lambda desk: desk.push.push_due())

    @precondition(lambda self: self.facts)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        order_id = self._some_order(data)
        preview = self.both(lambda desk: desk.settlement.preview(order_id))
        settled = self.both(lambda desk: desk.settlement.settle(order_id))
        assert isinstance(preview, tuple) or isinstance(settled, tuple) or preview == settled

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        aside = self.both(lambda desk: desk.relay.set_aside())
        assert isinstance(aside, list)
        ids = [entry.entry_id for entry in aside]
        entry_id = data.draw(st.sampled_from([*ids, "nothing"]))
        self.both(lambda desk: desk.relay.retry(entry_id))

    # Questions.

    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from([*PRODUCTS, "NEW", "NOWHERE"]))
        text = data.draw(st.sampled_from(["苹果", "产品", "ＴＥＡ", "鱼", "x", " "]))
        limit = data.draw(st.integers(0, 3))
        order_id = self._some_order(data)
        self.both(lambda desk: desk.progress.by_number(number))
        self.both(lambda desk: desk.progress.by_name(text, limit=limit))
        self.both(lambda desk: desk.progress.by_order(order_id))
        self.both(lambda desk: desk.progress.by_partner("farm-1"))
        self.both(lambda desk: desk.progress.by_sales_partner("sp-1"))
        self.both(lambda desk: desk.progress.by_business_line("retail"))
        self.both(lambda desk: desk.dispatch.order(order_id))
        self.both(lambda desk: desk.settlement.of_order(order_id))
        self.both(lambda desk: desk.reporting.of_order(order_id))
        self.both(lambda desk: desk.quotas.show())
        self.both(lambda desk: desk.admission.due_for_review())
        self.both(lambda desk: list(desk.audit.facts(order_id=order_id)))

    # The end.

    def come_to_rest(self) -> None:
        """When nothing fails any more and all is retried, everything that is due gets done."""
        self.fate((), ())
        self.both(lambda desk: desk.relay.recover())
        for _ in range(200):
            aside = self.both(lambda desk: desk.relay.set_aside())
            assert isinstance(aside, list)
            for entry in aside:
                self.both(lambda desk, entry=entry: desk.relay.retry(entry.entry_id))  # type: ignore[misc] # bound now
            self.clock.advance(minutes=31)
            self.both(Consignment.work)
            if not aside and not self.both(lambda desk: desk.relay.waiting()):
                break
        self.all_holds()
        for side in self.sides:
            shot = side.look()
            assert {entry["state"] for entry in shot.outbox.values()} <= {"done"}
            assert "settled" not in {order["state"] for order in shot.orders.values()}
            told = side.messaging.told
            done = {id_ for id_, entry in shot.outbox.items() if entry["kind"] == "message"}
            assert told.keys() == done
        waiting = self.sides[0].desk.storage.read(
            lambda tx: tx.outbox.list(IntentState.WAITING, limit=1)
        )
        assert not waiting


def _text(count: int, places: int) -> str:
    return f"{count // 10**places}.{count % 10**places:0{places}d}" if places else str(count)


@pytest.mark.timeout(1800)
def test_memory_and_sql_are_one_desk(engine: str) -> None:
    """Whatever is asked of them, both answer the same, hold the same, and all invariants hold."""
    examples, steps = size(engine)

    class Machine(TwoDesks):
        pass

    Machine.engine = engine
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
