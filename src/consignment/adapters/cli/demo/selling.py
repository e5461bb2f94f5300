"""The story's middle: the order, and what the partner reports of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from consignment.adapters.cli.console import figure
from consignment.adapters.cli.demo.stage import ORDER, PARTNER, Stage, Step, amount
from consignment.adapters.cli.shapes import order_shape, progress_shape, reason_shapes
from consignment.domain.errors import Refused
from consignment.domain.money import Money, value_minor
from consignment.domain.progress import Progress
from consignment.formats.documents import read_demand

if TYPE_CHECKING:
    from consignment.adapters.cli.console import Console
    from consignment.domain.errors import Reason

__all__ = ["ordered", "reported"]


def ordered(stage: Stage) -> Step:
    """Place the demand; try another that no longer fits; send the order out."""
    desk = stage.desk
    when = stage.at("2026-09-01T10:00:00+08:00")
    demand = read_demand(stage.paper("demand.json"))
    (order,) = desk.dispatch.place(demand)
    used = stage.quota_used()
    refusal = _refusal_of(stage, "DM-2026-0902")
    desk.work()
    sent = desk.dispatch.order(order.order_id)
    (message,) = stage.sent_to(f"partner/{PARTNER}")
    stage.results["order"] = order_shape(order)
    stage.results["quota_used"] = {"after_order": str(used)}

    def show(console: Console) -> None:
        console.say(
            f"{when}: 李明 wants goods sold on his behalf. One partner has all of them, so the "
            "demand becomes one purchase order."
        )
        console.table(
            ["product", "name", figure("quantity"), figure("agreed price"), figure("value")],
            (
                (
                    line.product_number,
                    line.name,
                    line.ordered,
                    Money(line.agreed_price_minor, order.currency),
                    amount(
                        Money(
                            value_minor(line.ordered, line.unit_places, line.agreed_price_minor),
                            order.currency,
                        )
                    ),
                )
                for line in order.lines
            ),
        )
        console.say(
            f"Order {order.order_id} is worth {amount(order.agreed_value)} {order.currency}. In "
            "the same transaction so much of the retail quota is reserved, and the message to the "
            "partner is written down; it leaves right after, as a file in the partner's folder."
        )
        console.say(f"The order is {sent.state.value}, by message {message['id']}.", "good")
        for fault in refusal:
            console.say(
                "The same demand under another number does not fit any more, and is refused "
                f"whole: it wants {fault.details['wanted']}, available are "
                f"{fault.details['available']} ({fault.code})."
            )

    data = {
        "order": order_shape(sent),
        "quota_used": str(used),
        "message_id": message["id"],
        "another_refused": reason_shapes(refusal),
    }
    return Step("order", "Order 采购订单: a demand becomes an order", data, show)


def _refusal_of(stage: Stage, demand_id: str) -> tuple[Reason, ...]:
    demand = evolve(read_demand(stage.paper("demand.json")), demand_id=demand_id)
    (answer,) = stage.desk.dispatch.place_many([demand])
    return answer.reasons if isinstance(answer, Refused) else ()


#: What each message means, by its id and how often it has come.
_MEANING = {
    ("AC-1", 1): "The partner accepts the order. Goods may now be bought.",
    ("PR-1", 1): "The partner has bought the goods, and says that no more will come: of the "
    "walnuts 147 instead of 150. What never comes is not on consignment, so its part of the quota "
    "is free again. 李明 is sent the product information.",
    ("SR-1", 1): "The first sales. What is sold stays reserved until it is settled, so the quota "
    "does not move.",
    ("SR-2", 1): "More sales.",
    ("SR-2", 2): "The same report comes a second time: a slow line, a careful clerk. It is known "
    "by its id, gets the first answer, and nothing is counted twice.",
    ("SR-3", 1): "The last sales, the walnuts at a lower price.",
    ("RT-1", 1): "A customer brings 2 boxes of apples back and gets the money again. They are "
    "unsold once more.",
    ("SB-1", 1): "What is left goes back to the supplier, for a credit. It is no longer on "
    "consignment: its part of the quota is free.",
    ("EX-1", 1): "The partner paid 480.15 for freight. The rule says that it is deducted before "
    "the profit is shared.",
    ("CP-1", 1): "The partner says that the order is completed. That is taken only because "
    "nothing is left unsold; had there been one box, it would have been refused.",
}
#: The quota figures that are to be checked, by the message behind which they are true.
_QUOTA_AFTER = {"PR-1": "after_procurement", "SB-1": "after_sent_back"}
#: With completion the order becomes due, and `work` would settle it at once. That is told later.
_COMPLETION = "CP-1"


@frozen
class _Happening:
    """A message, what became of it, and how things stand behind it."""

    message_id: str
    when: str
    meaning: str
    outcome: str
    state: str
    lines: list[Progress]
    moved: bool
    used: Money
    freed: Money

    def shape(self) -> dict[str, Any]:
        return {
            "message_id": self.message_id,
            "outcome": self.outcome,
            "state": self.state,
            "quota_used": str(self.used),
            "progress": [progress_shape(each) for each in self.lines],
        }


def reported(stage: Stage) -> Step:
    """Let the partner's messages come in, one after the other."""
    happenings: list[_Happening] = []
    times: dict[str, int] = {}
    for raw in stage.paper("messages.jsonl").splitlines():
        message = json.loads(raw)
        times[message["id"]] = times.get(message["id"], 0) + 1
        happenings.append(_happened(stage, message, raw, times[message["id"]]))
    last = {each.product_number: progress_shape(each) for each in happenings[-1].lines}
    stage.results["progress"] = last

    def show(console: Console) -> None:
        console.say(
            "The partner leaves each message as a file in its folder of the mailbox. Who can write "
            "there is the partner: nothing in a message can say otherwise."
        )
        for each in happenings:
            console.say("")
            console.say(f"{each.when}  {each.message_id}: {each.outcome}", "good")
            console.say(each.meaning)
            _show_standing(console, each)

    data = {"messages": [each.shape() for each in happenings]}
    return Step("reports", "Reports 代采购、代销: what the partner says it did", data, show)


def _happened(stage: Stage, message: dict[str, Any], raw: bytes, times: int) -> _Happening:
    desk = stage.desk
    before, were = stage.quota_used(), _counts(desk.progress.by_order(ORDER))
    when = stage.at(message["time"])
    stage.from_partner(f"{message['id']}-{times}.json", raw)
    if message["id"] == _COMPLETION:
        received = desk.reporting.receive_inbound()
    else:
        received = desk.work().received
    lines, used = desk.progress.by_order(ORDER), stage.quota_used()
    if (name := _QUOTA_AFTER.get(message["id"])) is not None:
        stage.results["quota_used"][name] = str(used)
    outcome = "taken" if received.taken else "repeated" if received.repeated else "refused"
    return _Happening(
        message_id=message["id"],
        when=when,
        meaning=_MEANING[message["id"], times],
        outcome=outcome,
        state=desk.dispatch.order(ORDER).state.value,
        lines=lines,
        moved=_counts(lines) != were,
        used=used,
        freed=before - used,
    )


def _counts(lines: list[Progress]) -> list[tuple[object, ...]]:
    return [(each.procured, each.sold, each.returned, each.sent_back) for each in lines]


def _show_standing(console: Console, happened: _Happening) -> None:
    if happened.moved:
        titles = ("ordered", "procured", "sold", "returned", "sent back", "unsold")
        console.table(
            ["", *map(figure, titles)],
            (
                (
                    each.product_number,
                    each.ordered,
                    each.procured,
                    each.sold,
                    each.returned,
                    each.sent_back,
                    each.unsold,
                )
                for each in happened.lines
            ),
        )
    freed = f", {amount(happened.freed)} less than before" if happened.freed else ""
    console.say(f"  order {happened.state}; quota used {amount(happened.used)}{freed}", "faint")
