"""The whole way through `--json`: every figure of `examples/aksu/expected.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cli.bank import ADMITTED, AKSU, EXPECTED, ORDER, ORDERED, PARTNER

if TYPE_CHECKING:
    from tests.cli.bank import Bank

#: The messages of each stage, and the instant at which the bank receives them.
STAGES = {
    "accepted": (1, "2026-09-01T11:30:00+08:00"),
    "procured": (2, "2026-09-03T16:00:00+08:00"),
    "sold": (6, "2026-10-28T21:00:00+08:00"),
    "sent_back": (8, "2026-11-02T10:00:00+08:00"),
    "completed": (10, "2026-11-03T09:00:00+08:00"),
}


def chosen(shape: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Give what is expected out of what came."""
    return {name: shape[name] for name in wanted}


def used(bank: Bank) -> str:
    """Give what is used of the only quota."""
    (quota,) = bank.run("quota", "show")
    assert quota["scope"] == "business_line:retail"
    return str(quota["used"])


def test_every_figure_comes_out(bank: Bank) -> None:
    """From an admission request to a credited profit, each figure is the one worked out by hand."""
    check_beginning(bank)
    check_order_and_reports(bank)
    check_progress(bank)
    check_settlement(bank)
    check_credits(bank)


def check_beginning(bank: Bank) -> None:
    """Admission, import and terms."""
    bank.run("init")
    assert bank.run("policy", "set", AKSU / "policy.json", "--at", ADMITTED) == {
        "version": "2026-1"
    }
    decision = bank.run("admit", AKSU / "admission.json", "--at", ADMITTED)
    assert chosen(decision, EXPECTED["admission"]) == EXPECTED["admission"]
    assert decision["reasons"] == []

    imported = bank.run("import", PARTNER, AKSU / "products.csv", "--at", ADMITTED)
    assert imported == {**EXPECTED["import"], "rejections": []}

    assert bank.run("quota", "set", AKSU / "quotas.json", "--at", ADMITTED) == [
        {
            "scope": "business_line:retail",
            "limit": "30000.00",
            "used": "0.00",
            "available": "30000.00",
            "currency": "CNY",
        }
    ]
    sales_partner = bank.run("sales-partner", "add", AKSU / "sales_partner.json", "--at", ADMITTED)
    assert sales_partner["sales_partner_id"] == "sp-li"
    rule = bank.run("rule", "add", AKSU / "rule.json", "--at", ADMITTED)
    assert rule == {"rule_id": "aksu-profit", "version": 1}


def check_order_and_reports(bank: Bank) -> None:
    """The order, and quota used after each stage of the partner's messages."""
    (order,) = bank.run("order", "place", AKSU / "demand.json", "--at", ORDERED)["orders"]
    assert chosen(order, EXPECTED["order"]) == EXPECTED["order"]
    assert (order["partner_id"], order["state"]) == (PARTNER, "placed")
    expected_used = EXPECTED["quota_used"]
    assert used(bank) == expected_used["after_order"]

    messages = (AKSU / "messages.jsonl").read_bytes().splitlines(keepends=True)
    counts: list[tuple[int, int, int]] = []
    used_after: dict[str, str] = {}
    begin = 0
    for stage, (end, instant) in STAGES.items():
        part = bank.write(f"{stage}.jsonl", b"".join(messages[begin:end]))
        begin = end
        received = bank.run("receive", "--partner", PARTNER, part, "--at", instant)
        assert received["refusals"] == []
        counts.append((received["taken"], received["repeated"], received["refused"]))
        used_after[stage] = used(bank)
    assert counts == [(1, 0, 0), (1, 0, 0), (3, 1, 0), (2, 0, 0), (2, 0, 0)]
    assert used_after["accepted"] == expected_used["after_order"]
    assert used_after["procured"] == expected_used["after_procurement"]
    assert used_after["sold"] == expected_used["after_procurement"]
    assert used_after["sent_back"] == expected_used["after_sent_back"]
    assert used_after["completed"] == expected_used["after_sent_back"]


def check_progress(bank: Bank) -> None:
    """Progress by order, number and name."""
    by_order = bank.run("progress", "--order", ORDER)["products"]
    assert [each["product_number"] for each in by_order] == list(EXPECTED["progress"])
    for shape in by_order:
        wanted = EXPECTED["progress"][shape["product_number"]]
        assert chosen(shape, wanted) == wanted
        (by_number,) = bank.run("progress", "--number", shape["product_number"])["products"]
        assert chosen(by_number, wanted) == wanted
    for text, numbers in EXPECTED["find_by_name"].items():
        found = bank.run("progress", "--name", text)
        assert [each["product_number"] for each in found["products"]] == numbers
        assert found["next_page"] is None


def check_settlement(bank: Bank) -> None:
    """Preview and settlement."""
    at = ("--at", "2026-11-03T09:00:00+08:00")
    preview = bank.run("settle", ORDER, "--preview", *at)
    assert chosen(preview, EXPECTED["settlement"]) == EXPECTED["settlement"]
    assert preview["preview"]
    settled = bank.run("settle", ORDER, *at)
    assert chosen(settled, EXPECTED["settlement"]) == EXPECTED["settlement"]
    assert used(bank) == EXPECTED["quota_used"]["after_settlement"]


def check_credits(bank: Bank) -> None:
    """Credits, statement and accounts."""
    done = bank.run("work", "--at", "2026-11-03T09:00:00+08:00")
    assert (done["credited"], done["settled"], done["set_aside"]) == (2, 0, 0)
    statement = bank.run("statement", ORDER)
    assert chosen(statement, EXPECTED["settlement"]) == EXPECTED["settlement"]
    assert {name: each["state"] for name, each in statement["credits"].items()} == {
        "sales_partner": "credited",
        "partner": "kept",
        "bank": "credited",
    }
    assert statement["explanation"]

    shares = EXPECTED["settlement"]["shares"]
    paid = {
        "sales_partner:sp-li": shares["sales_partner"]["credited"],
        "bank": shares["bank"]["credited"],
        f"partner:{PARTNER}": "-" + EXPECTED["settlement"]["credited_total"],
    }
    for account, balance in paid.items():
        shown = bank.run("balance", account)
        assert (shown["balance"], shown["currency"]) == (balance, "CNY")
        assert shown["postings"]
    (order,) = bank.run("order", "show", ORDER)["orders"]
    assert order["state"] == "closed"


def test_work_settles_and_credits_once(bank: Bank) -> None:
    """`work` settles what was completed and credits it; a second time there is nothing to do."""
    bank.completed()
    at = ("--at", "2026-11-03T09:00:00+08:00")
    first, second = bank.run("work", *at), bank.run("work", *at)
    assert (first["settled"], first["credited"]) == (1, 2)
    assert (second["settled"], second["credited"], second["sent"], second["pushed"]) == (0, 0, 0, 0)
    assert bank.run("balance", "bank")["balance"] == "1243.68"
    kinds = [each["kind"] for each in bank.run("journal", "--order", ORDER)]
    assert kinds.count("credited") == 2
    assert kinds.count("order_closed") == 1


def test_inbound_files_are_taken_by_work(bank: Bank) -> None:
    """What a partner left in its folder is taken by `work`, and a refused file tells why."""
    bank.placed()
    inbound = bank.mailbox / "inbound" / PARTNER
    inbound.mkdir(parents=True)
    messages = (AKSU / "messages.jsonl").read_bytes().splitlines(keepends=True)
    (inbound / "1.jsonl").write_bytes(b"".join(messages[:2]))
    (inbound / "2.json").write_bytes(messages[9])
    done = bank.run("work", "--at", "2026-09-03T16:00:00+08:00")
    received = done["received"]
    assert (received["taken"], received["repeated"], received["refused"]) == (2, 0, 1)
    (refusal,) = received["refusals"]
    assert refusal["id"] == "CP-1"
    assert {each["code"] for each in refusal["reasons"]} == {"completion_unreconciled"}
    assert [path.name for path in (inbound / "done").iterdir()] == ["1.jsonl"]
    assert (inbound / "refused" / "2.json.reasons.json").exists()
    (inbound / "3.json").write_bytes(messages[9])
    (inbound / "4.json").write_bytes(b"nonsense")
    code, out, _ = bank.say("work", "--at", "2026-09-03T16:00:00+08:00")
    assert code == 0
    assert "refused: CP-1: completion_unreconciled" in out
    assert "refused: message without id: not_json" in out
    code, out, _ = bank.say("work", "--at", "2026-09-03T16:00:00+08:00")
    assert (code, out) == (0, "Nothing was due.\n")
