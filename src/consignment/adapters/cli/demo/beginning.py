"""The story's beginning: who may sell, what, and on which terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consignment.adapters.cli.console import Styled, figure
from consignment.adapters.cli.demo.stage import PARTNER, Stage, Step, amount
from consignment.adapters.cli.shapes import decision_shape, quota_shape
from consignment.domain.money import percent_text
from consignment.domain.quota import Quota
from consignment.formats.documents import (
    read_admission_request,
    read_policy,
    read_quotas,
    read_rule,
    read_sales_partner,
)

if TYPE_CHECKING:
    from consignment.adapters.cli.console import Console

__all__ = ["admission", "products", "terms"]

_CHINESE = {
    "sales_capability": "销售能力",
    "management_capability": "管理能力",
    "production_capability": "生产能力",
    "product_quality": "商品质量",
    "contract_credit": "履约信用",
}


def admission(stage: Stage) -> Step:
    """Let the bank set its policy and decide on the request."""
    when = stage.at("2026-08-20T09:00:00+08:00")
    policy = stage.desk.admission.set_policy(read_policy(stage.paper("policy.json")))
    request = read_admission_request(stage.paper("admission.json"))
    decision = stage.desk.admission.request(request)
    stage.results["admission"] = decision_shape(decision)
    scores = [
        (each.criterion, each.score, policy.minimum(each.criterion, request.business_lines))
        for each in request.assessments
    ]

    def show(console: Console) -> None:
        console.say(
            f"{request.partner.name} asks to sell for the bank in retail. By policy "
            f"{policy.version} a company that worked with the bank in the last "
            f"{policy.history_window_days} days is admitted at once. This one is new, so it is "
            "reviewed: each of five scores must reach its minimum, and a high one does not make "
            "up for a low one."
        )
        console.table(
            ["criterion", "", figure("score"), figure("minimum"), ""],
            (
                (
                    criterion.value,
                    _CHINESE[criterion.value],
                    score,
                    minimum,
                    Styled("met", "good") if score >= minimum else Styled("not met", "bad"),
                )
                for criterion, score, minimum in scores
            ),
        )
        basis = "" if decision.basis is None else f" ({decision.basis.value})"
        console.say(
            f"{when}: {decision.decision.value}{basis}, valid until {decision.valid_until}. The "
            "decision is kept with the policy's version, the evidence and the officer's name.",
            "good",
        )

    data = {
        **decision_shape(decision),
        "scores": [
            {"criterion": criterion.value, "score": str(score), "minimum": str(minimum)}
            for criterion, score, minimum in scores
        ],
    }
    return Step("admission", "Admission 准入: who may sell for us", data, show)


def products(stage: Stage) -> Step:
    """Import the partner's products, twice."""
    desk = stage.desk
    first, second = (
        desk.catalogue.import_products(PARTNER, desk.product_rows(stage.papers / "products.csv"))
        for _ in range(2)
    )
    counts = [
        {
            "created": each.created,
            "updated": each.updated,
            "unchanged": each.unchanged,
            "rejected": each.rejected,
        }
        for each in (first, second)
    ]
    landed = [list(pair) for pair in first.products]
    stage.results["import"] = {**counts[0], "products": landed}
    numbers = [number for number, _ in first.products]
    owned = desk.storage.read(lambda tx: tx.products.get(PARTNER, numbers))

    def show(console: Console) -> None:
        console.say(
            "The partner sends its list of products, a CSV file. Each row is checked for itself: "
            "currency, price, check digit of the GTIN, lifetime. Good rows land even when others "
            "are rejected."
        )
        console.table(
            ["number", "name", figure("agreed price"), "on sale until"],
            (
                (each.number, each.name, each.agreed_price, each.on_sale_until)
                for each, _ in map(owned.__getitem__, numbers)
            ),
        )
        console.say(
            f"{first.created} products were created, {first.rejected} rows rejected. The same file "
            f"sent again changes nothing: {second.unchanged} unchanged.",
            "good",
        )

    data = {**counts[0], "products": landed, "again": counts[1]}
    return Step("import", "Products 商品导入: what they may sell", data, show)


def terms(stage: Stage) -> Step:
    """Set the quota, the sales partner and the settlement rule."""
    desk = stage.desk
    limits = read_quotas(stage.paper("quotas.json"))
    quotas = desk.quotas.set([Quota.of(scope, limit) for scope, limit in limits])
    sales_partner = desk.sales_partners.add(read_sales_partner(stage.paper("sales_partner.json")))
    rule = desk.settlement.add_rule(read_rule(stage.paper("rule.json"), desk.settings.currency))
    fee = ", ".join(percent_text(each.percent) for each in rule.deductions if each.percent)
    shares = [(each.beneficiary, f"{each.weight} %") for each in rule.shares]

    def show(console: Console) -> None:
        limit = quotas[0]
        console.say(
            f"A quota: goods for at most {amount(limit.limit)} {limit.currency} may be on "
            f"consignment at once in retail."
        )
        console.say(
            f"A sales partner: goods are sold on behalf of {sales_partner.name}, who is sent the "
            "sales figures every day at 18:00."
        )
        console.say(
            f"A settlement rule ({rule.rule_id}, version {rule.version}): from the profit, freight "
            "as reported and a platform fee of "
            f"{fee} % of net sales are deducted; the rest is shared."
        )
        console.table(
            ["gets", figure("share"), ""],
            (
                (
                    each.beneficiary,
                    share,
                    ""
                    if each.withholding is None
                    else f"of which {percent_text(each.withholding.percent)} % above "
                    f"{each.withholding.threshold} is withheld as {each.withholding.name}",
                )
                for each, (_, share) in zip(rule.shares, shares, strict=True)
            ),
        )

    data = {
        "quotas": [quota_shape(each) for each in quotas],
        "sales_partner_id": sales_partner.sales_partner_id,
        "rule_id": rule.rule_id,
        "version": rule.version,
    }
    return Step(
        "terms", "Terms 额度、销售合伙人、结算规则: how much, for whom, for what", data, show
    )
