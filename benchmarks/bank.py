"""A bank to measure: a partner, products, orders and reports, as many as wanted."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from attrs import evolve

from consignment.adapters.memory import ManualClock, MemoryMessaging
from consignment.adapters.sqlalchemy import Ledger, SqlStorage
from consignment.desk import Consignment
from consignment.domain.money import Money
from consignment.domain.order import ConsignmentDemand, DemandLine
from consignment.domain.quota import Quota
from consignment.domain.report import (
    Accepted,
    Completed,
    ExpenseReported,
    GoodsLine,
    Procured,
    Sold,
)
from consignment.domain.rule import Deduction, SettlementRule, Share, Withholding
from consignment.testing.builders import (
    a_policy,
    a_sales_partner,
    an_admission_request,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from consignment.domain.report import PartnerReport

PARTNER = "partner-1"
SALES_PARTNER = "sales-1"
START = datetime(2026, 9, 1, 2, 0, tzinfo=UTC)
HEADER = (
    "number,name,unit,unit_places,currency,agreed_price,gtin,category,on_sale_from,on_sale_until"
)
_PLACES = ["阿克苏", "若羌", "温宿", "库尔勒", "吐鲁番", "哈密", "和田", "喀什", "伊犁", "塔城"]
_GOODS = ["苹果", "红枣", "核桃", "香梨", "葡萄干", "瓜子", "石榴", "杏干", "蜂蜜", "奶酪"]
_GRADES = ["特级", "一级", "二级", "精选", "有机", "礼盒", "家庭装", "散装"]


def opened(url: str) -> Consignment:
    """Open the desk on a database, with messages kept in memory; the clock stands still."""
    storage = SqlStorage.open(url)
    return Consignment(
        storage=storage,
        messaging=MemoryMessaging(),
        crediting=Ledger(storage),
        clock=ManualClock(START),
    )


def founded(url: str) -> str:
    """Make a bank with an admitted partner, a sales partner, a rule and a quota."""
    with opened(url) as desk:
        desk.admission.set_policy(a_policy())
        request = an_admission_request(request_id="A-1")
        details = evolve(request.partner, partner_id=PARTNER)
        request = evolve(
            request,
            partner=details,
            business_lines=("retail",),
            assessments=[
                evolve(each, assessed_on=date(2026, 8, 1)) for each in request.assessments
            ],
        )
        decision = desk.admission.request(request)
        assert decision.valid_until is not None, decision.reasons
        desk.sales_partners.add(
            evolve(a_sales_partner(), sales_partner_id=SALES_PARTNER, push_schedule=None)
        )
        desk.quotas.set([Quota.of("total", Money.of("9999999999999.00", "CNY"))])
        desk.settlement.add_rule(
            SettlementRule(
                rule_id="rule",
                version=1,
                effective_from=date(2026, 1, 1),
                scope="all",
                basis="profit",
                deductions=[
                    Deduction("freight", "reported"),
                    Deduction("platform", "percent_of_net_sales", "0.6"),
                ],
                shares=[
                    Share("sales_partner", "45", Withholding("income_tax", "8.00", "20")),
                    Share("partner", "35"),
                    Share("bank", "20"),
                ],
            )
        )
    return url


def product_lines(count: int) -> Iterator[str]:
    """Give the lines of a product file, header first; a third of them with a GTIN."""
    yield HEADER
    for i in range(count):
        name = f"{_PLACES[i % 10]}{_GRADES[i // 10 % 8]}{_GOODS[i // 80 % 10]} {i} 号"
        gtin = "6970000000017" if i % 3 == 0 else ""
        price = f"{5 + i % 400}.{i % 10}0"
        yield f"SKU-{i:07d},{name},BX,0,CNY,{price},{gtin},fruit,2026-08-01,2027-12-31"


def product_file(path: Path, count: int) -> Path:
    """Write a product file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"{line}\n" for line in product_lines(count))
    return path


def stocked(url: str, count: int) -> str:
    """Import so many products."""
    with opened(url) as desk:
        header, *lines = product_lines(count)
        names = header.split(",")
        rows = [dict(zip(names, line.split(","), strict=True)) for line in lines]
        result = desk.catalogue.import_products(PARTNER, rows)
        assert result.created == count, list(result.rejections)[:3]
    return url


def demands(
    count: int, lines: int, products: int, *, first: int = 0, prefix: str = "D", apart: int = 1
) -> list[ConsignmentDemand]:
    """Give demands of so many lines over so many products; each begins `apart` from the last."""
    return [
        ConsignmentDemand(
            f"{prefix}-{i:06d}",
            "retail",
            SALES_PARTNER,
            [DemandLine(f"SKU-{(i * apart + k) % products:07d}", "20") for k in range(lines)],
        )
        for i in range(first, first + count)
    ]


def order_id(demand: ConsignmentDemand) -> str:
    """Give the id of a demand's only order."""
    return f"{demand.demand_id}:{PARTNER}"


def place(url: str, wanted: list[ConsignmentDemand]) -> str:
    """Place demands, and let their messages be delivered."""
    with opened(url) as desk:
        for i in range(0, len(wanted), 200):
            desk.dispatch.place_many(wanted[i : i + 200])
        desk.relay.deliver_due()
    return url


def report(url: str, reports: Iterable[PartnerReport]) -> str:
    """Take reports in batches; every one of them has to be taken."""
    with opened(url) as desk:
        every = list(reports)
        for i in range(0, len(every), 200):
            answers = desk.reporting.take_many(PARTNER, every[i : i + 200])
            assert all(answer.taken for answer in answers), answers
        desk.relay.deliver_due()
    return url


def accepted(wanted: list[ConsignmentDemand]) -> Iterator[PartnerReport]:
    """Accept every order, and procure all of it."""
    for demand in wanted:
        oid = order_id(demand)
        yield Accepted(report_id=f"AC-{oid}", order_id=oid, occurred_at=START)
        lines = [GoodsLine(each.product_number, "20", "3.50") for each in demand.lines]
        yield Procured(
            report_id=f"PR-{oid}", order_id=oid, occurred_at=START, lines=lines, final=True
        )


def sold(demand: ConsignmentDemand, quantity: str = "3") -> Sold:
    """Sell some of every line."""
    oid = order_id(demand)
    lines = [GoodsLine(each.product_number, quantity, "9.90") for each in demand.lines]
    at = START + timedelta(hours=1)
    return Sold(report_id=f"SR-{quantity}-{oid}", order_id=oid, occurred_at=at, lines=lines)


def finished(wanted: list[ConsignmentDemand], quantity: str = "20") -> Iterator[PartnerReport]:
    """Sell what is left, report an expense, and complete."""
    for demand in wanted:
        oid = order_id(demand)
        yield sold(demand, quantity)
        yield ExpenseReported(
            report_id=f"EX-{oid}",
            order_id=oid,
            occurred_at=START,
            name="freight",
            amount="1.15",
            currency="CNY",
        )
        yield Completed(report_id=f"CP-{oid}", order_id=oid, occurred_at=START)
