"""What each command answers, to programs and to people."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tests.adapters.workbooks import parts_of, write_parts, write_workbook
from tests.cli.bank import ADMITTED, AKSU, COMPLETED, ORDER, ORDERED, PARTNER, codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.adapters.workbooks import Value
    from tests.cli.bank import Bank

PROGRESS_KEYS = {
    "product_number",
    "name",
    "partner_id",
    "stage",
    "ordered",
    "procured",
    "sold",
    "returned",
    "net_sold",
    "sent_back",
    "written_off",
    "unsold",
    "gross_sales",
    "net_sales",
    "currency",
    "sell_through",
    "last_report_at",
    "settled",
    "as_of",
}


def test_an_admission_that_waits_for_assessments(bank: Bank) -> None:
    """A request without assessments is pending with exit code 0; `assess` decides it."""
    bank.opened()
    document = json.loads((AKSU / "admission.json").read_text("utf-8"))
    assessments = document.pop("assessments")
    path = bank.write("bare.json", {**document, "assessments": []})
    pending = bank.run("admit", path, "--at", ADMITTED)
    assert (pending["decision"], pending["basis"], pending["valid_until"]) == (
        "pending",
        None,
        None,
    )
    assert {each["code"] for each in pending["reasons"]} == {"assessment_needed"}
    scores = bank.write("scores.json", assessments)
    assess = ("assess", pending["request_id"], scores, "--actor", "officer:li", "--at", ADMITTED)
    assert bank.run(*assess)["decision"] == "admitted"
    code, out, _ = bank.say(*assess)
    assert code == 0
    assert "admitted" in out


def test_an_admission_that_is_rejected(bank: Bank) -> None:
    """A rejected admission ends with 1, with its normal keys and every failing criterion."""
    bank.opened()
    document = json.loads((AKSU / "admission.json").read_text("utf-8"))
    for each in document["assessments"]:
        each["score"] = "10"
    path = bank.write("low.json", document)
    rejected = bank.run("admit", path, "--at", ADMITTED, expect=1)
    assert rejected["decision"] == "rejected"
    assert [each["code"] for each in rejected["reasons"]] == ["criterion_below_minimum"] * 5
    code, out, err = bank.say("admit", path, "--at", ADMITTED)
    assert (code, err) == (1, "")
    assert out.count("criterion_below_minimum") == 5


def test_partners_and_their_standing(bank: Bank) -> None:
    """Partners are listed with status and lines; suspend, reinstate and exit change the status."""
    bank.opened()
    assert bank.say("partner", "list")[1] == "No partners.\n"
    bank.run("admit", AKSU / "admission.json", "--at", ADMITTED)
    (partner,) = bank.run("partner", "list")
    assert partner == {
        "partner_id": PARTNER,
        "name": "阿克苏绿源农产品有限公司",
        "registration_number": "91652901MA0000015R",
        "status": "admitted",
        "business_lines": {"retail": "2027-08-20"},
        "review_on": "2027-08-20",
    }
    assert bank.run("partner", "list", "--due-for-review", "--at", ADMITTED) == []
    later = ("--at", "2027-08-01T00:00:00+08:00")
    assert len(bank.run("partner", "list", "--due-for-review", *later)) == 1
    why = ("--reason", "late", "--actor", "officer:wang")
    assert bank.run("partner", "suspend", PARTNER, *why)["status"] == "suspended"
    assert bank.say("partner", "reinstate", PARTNER, *why)[1] == f"{PARTNER} is admitted.\n"
    assert bank.run("partner", "suspend", PARTNER, *why)["status"] == "suspended"
    assert bank.run("partner", "reinstate", PARTNER, *why)["status"] == "admitted"
    assert bank.run("partner", "exit", PARTNER, *why, "--without-cause")["status"] == "exited"
    assert "exited" in bank.say("partner", "list")[1]
    fact = bank.run("journal")[-1]
    assert (fact["kind"], fact["actor"]) == ("partner_exited", "officer:wang")
    assert fact["data"] == {"reason": "late", "for_cause": False}
    assert "    reason late, for_cause False, actor officer:wang\n" in bank.say("journal")[1]


def test_importing_again_changes_nothing(bank: Bank) -> None:
    """The same rows again are unchanged, also as JSON Lines; people see counts and names."""
    bank.admitted()
    again = bank.run("import", PARTNER, AKSU / "products.csv", "--at", ADMITTED)
    assert [again[name] for name in ("created", "updated", "unchanged", "rejected")] == [0, 0, 3, 0]
    row = {"number": "J-1", "name": "新商品", "unit": "BX", "currency": "CNY", "agreed_price": "2"}
    path = bank.write("more.jsonl", json.dumps(row) + "\n{}\n")
    code, out, err = bank.say("import", PARTNER, path, "--at", ADMITTED)
    assert (code, err) == (0, "")
    assert "新商品" in out
    bad = bank.write("bad.jsonl", "{}\n")
    assert "number" not in bank.say("import", PARTNER, bad, "--at", ADMITTED)[1]
    assert f"{path}:2: text_missing (column name" in out


def test_names_are_indexed_anew(bank: Bank) -> None:
    """Nothing changes while the installed extras stay the same."""
    bank.admitted()
    assert bank.run("reindex") == {"changed": 0}
    assert "0 products" in bank.say("reindex")[1]


def test_a_workbook_is_imported_and_asked_for(bank: Bank) -> None:
    """The whole way of an XLSX: its rows are products, its faults are told by row and column."""
    pytest.importorskip("python_calamine")
    bank.opened()
    bank.run("admit", AKSU / "admission.json", "--at", ADMITTED)
    text = "number,name,unit,currency,agreed_price,gtin,on_sale_from,origin\n"
    day = date(2026, 8, 1)
    rows: list[Sequence[Value]] = [
        text.strip().split(","),
        ["X-1", "香梨 5kg", "BX", "CNY", 58.5, 6901234567892, day, "=库尔勒"],
        [1002, "核桃", "BX", "CNY", 1e15, None, None, None],
        [],
        ["0003", "红枣", "BX", "CNY", 39, None, None, 1.5],
    ]
    path = write_workbook(bank.folder / "价目.xlsx", rows)
    answer = bank.run("import", PARTNER, path, "--at", ADMITTED)
    assert answer["products"] == [["X-1", "香梨 5kg"], ["0003", "红枣"]]
    lost = {"code": "digits_lost", "column": "agreed_price", "value": "1000000000000000.0"}
    assert answer["rejections"] == [{"row": 2, "line": 3, "reasons": [lost]}]
    again = bank.run("import", PARTNER, path, "--at", ADMITTED)
    assert (again["unchanged"], again["rejected"]) == (2, 1)
    text += "X-1,香梨 5kg,BX,CNY,58.50,6901234567892,2026-08-01,=库尔勒\n"
    text += "0003,红枣,BX,CNY,39.00,,,1.5\n"
    same = bank.run("import", PARTNER, bank.write("same.csv", text), "--at", ADMITTED)
    assert (same["unchanged"], same["rejected"]) == (2, 0)
    (found,) = bank.run("progress", "--name", "香梨", "--at", ADMITTED)["products"]
    assert (found["product_number"], found["name"]) == ("X-1", "香梨 5kg")
    bad = bank.write("bad.xlsx", path.read_bytes()[:-30])
    refused = bank.run("import", PARTNER, bad, "--at", ADMITTED, expect=2)
    assert codes(refused) == ["file_malformed"]


def test_a_sheet_is_asked_for_by_its_name(bank: Bank) -> None:
    """`--sheet` takes another than the first; one that is not there is told with those that are."""
    pytest.importorskip("python_calamine")
    bank.admitted()
    header = ["number", "name", "unit", "currency", "agreed_price"]
    rows: list[Sequence[Value]] = [header, ["S-1", "香梨", "BX", "CNY", 58.5]]
    path = bank.folder / "sheets.xlsx"
    write_parts(path, parts_of(rows, name="价目", more=[("说明", "visible")]))
    asked = ("import", PARTNER, path, "--at", ADMITTED, "--sheet")
    assert bank.run(*asked, "价目")["products"] == [["S-1", "香梨"]]
    assert codes(bank.run(*asked, "说明", expect=2)) == ["file_empty"]
    (told,) = bank.run(*asked, "其他", expect=2)["refused"]
    assert (told["code"], told["sheets"]) == ("sheet_missing", ["说明", "价目"])


def test_many_products_are_shown_in_part(bank: Bank) -> None:
    """People see the first products and rejections and how many more there are; JSON has all."""
    bank.admitted()
    rows = [f"N-{i},商品,BX,{'CNY' if i % 2 else 'XYZ'},1.00" for i in range(100)]
    path = bank.write("many.csv", "\n".join(["number,name,unit,currency,agreed_price", *rows]))
    out = bank.say("import", PARTNER, path, "--at", ADMITTED)[1]
    assert out.count("… and 30 more") == 2
    answer = bank.run("import", PARTNER, path, "--at", ADMITTED)
    assert (len(answer["products"]), len(answer["rejections"])) == (50, 50)


def test_a_file_in_gb18030(bank: Bank) -> None:
    """A CSV file in GB 18030 is read, found out or told."""
    bank.admitted()
    content = "number,name,unit,currency,agreed_price\nG-1,和田大枣,BX,CNY,1.00\n".encode("gb18030")
    path = bank.write("gb.csv", content)
    for encoding in ((), ("--encoding", "gb18030")):
        answer = bank.run("import", PARTNER, path, *encoding, "--at", ADMITTED)
        assert answer["products"] == [["G-1", "和田大枣"]]
    refused = bank.run("import", PARTNER, path, "--encoding", "utf-7", expect=1)
    assert codes(refused) == ["encoding_unknown"]


def test_orders_and_their_end(bank: Bank) -> None:
    """An order is shown with its lines; cancelling it ends it, and its quota is free again."""
    bank.placed()
    (order,) = bank.run("order", "show", ORDER)["orders"]
    assert order["lines"][0]["ordered"] == "120"
    assert order["placed_at"] == "2026-09-01T02:00:00Z"
    (again,) = bank.run("order", "place", AKSU / "demand.json", "--at", ORDERED)["orders"]
    assert again == order
    assert "AKS-WALNUT-1KG" in bank.say("order", "show", ORDER)[1]
    cancel = ("order", "cancel", ORDER, "--reason", "no longer wanted", "--at", ORDERED)
    (cancelled,) = bank.run(*cancel)["orders"]
    assert (cancelled["state"], cancelled["end_reason"]) == ("cancelled", "no longer wanted")
    assert bank.run("quota", "show")[0]["used"] == "0.00"
    assert "no longer wanted" in bank.say("order", "show", ORDER)[1]


def test_closing_an_order_short(bank: Bank) -> None:
    """After procurement an order is closed short instead of cancelled."""
    bank.placed()
    lines = [{"product_number": "AKS-APPLE-5KG", "quantity": "20", "unit_cost": "49.50"}]
    accepted, procured = map(json.loads, (AKSU / "messages.jsonl").read_text().splitlines()[:2])
    procured["data"] = {"order_id": ORDER, "lines": lines, "final": False}
    path = bank.write("some.jsonl", f"{json.dumps(accepted)}\n{json.dumps(procured)}\n")
    bank.run("receive", "--partner", PARTNER, path, "--at", "2026-09-04T00:00:00+08:00")
    refused = bank.run("order", "cancel", ORDER, "--reason", "r", expect=1)
    assert codes(refused) == ["order_state"]
    (order,) = bank.run("order", "short-close", ORDER, "--reason", "enough")["orders"]
    assert order["state"] == "on_sale"
    assert bank.run("quota", "show")[0]["used"] == "1376.00"


def test_progress(bank: Bank) -> None:
    """Progress has the promised keys, all figures as text; several numbers, and pages of names."""
    bank.completed()
    (apple,) = bank.run("progress", "--number", "AKS-APPLE-5KG", "--at", COMPLETED)["products"]
    assert apple.keys() >= PROGRESS_KEYS
    assert (apple["sell_through"], apple["as_of"]) == ("0.9417", "2026-11-03T01:00:00Z")
    two = ("--number", "AKS-WALNUT-1KG", "--number", "AKS-APPLE-5KG")
    shapes = bank.run("progress", *two)["products"]
    assert [each["product_number"] for each in shapes] == ["AKS-WALNUT-1KG", "AKS-APPLE-5KG"]
    (line, *_) = bank.run("progress", "--order", ORDER)["products"]
    assert (line["order_id"], line["stage"]) == (ORDER, "completed")

    first = bank.run("progress", "--name", "1kg", "--limit", "1")
    second = bank.run("progress", "--name", "1kg", "--limit", "1", "--page", first["next_page"])
    assert [each["products"][0]["product_number"] for each in (first, second)] == [
        "AKS-JUJUBE-1KG",
        "AKS-WALNUT-1KG",
    ]
    assert second["next_page"] is None
    assert "--page" in bank.say("progress", "--name", "1kg", "--limit", "1")[1]
    assert "94.17" in bank.say("progress", *two)[1]
    assert bank.say("progress", "--name", "没有")[1] == "No product has this in its name.\n"


def test_progress_before_anything_was_procured(bank: Bank) -> None:
    """Without procurement there is no sell-through: null, and a dash for people."""
    bank.admitted()
    (apple,) = bank.run("progress", "--number", "AKS-APPLE-5KG")["products"]
    assert (apple["sell_through"], apple["last_report_at"]) == (None, None)
    two = ("--number", "AKS-WALNUT-1KG", "--number", "AKS-APPLE-5KG")
    assert "–" in bank.say("progress", *two)[1]


def test_accounts(bank: Bank) -> None:
    """An account with nothing posted has nothing in the bank's currency."""
    bank.ready()
    assert bank.run("balance", "sales_partner:sp-li") == {
        "account": "sales_partner:sp-li",
        "balance": "0.00",
        "currency": "CNY",
        "balances": [{"balance": "0.00", "currency": "CNY"}],
        "postings": [],
    }
    assert "Nothing was posted" in bank.say("balance", "bank")[1]


def test_what_people_see_of_a_settlement(bank: Bank) -> None:
    """People see figures, shares and each step; a preview is told to be one."""
    bank.completed()
    at = ("--at", COMPLETED)
    preview = bank.say("settle", ORDER, "--preview", *at)[1]
    assert preview.startswith("A preview: nothing was written.\n")
    assert codes(bank.run("statement", ORDER, expect=1)) == ["not_settled"]
    bank.run("work", *at)
    statement = bank.say("statement", ORDER)[1]
    for figure in ("22098.50", "6218.41", "2398.63", "largest remainder", "credited"):
        assert figure in statement
    assert "2398.63" in bank.say("balance", "sales_partner:sp-li")[1]
    journal = bank.say("journal", "--order", ORDER)[1]
    assert "2026-11-03 09:00:00  order_settled" in journal


def test_a_loss_is_shown(bank: Bank) -> None:
    """A loss is told as such, and nobody is credited."""
    bank.placed()
    kinds: dict[str, dict[str, Any]] = {
        "goods.procured": {"lines": [line("unit_cost", "90.00")], "final": True},
        "goods.sold": {"lines": [line("unit_price", "10.00")]},
        "order.completed": {},
    }
    lines = [json.loads((AKSU / "messages.jsonl").read_text().splitlines()[0])]
    lines += [
        {
            **lines[0],
            "id": kind,
            "type": f"consignment.{kind}",
            "data": {"order_id": ORDER, **data},
        }
        for kind, data in kinds.items()
    ]
    path = bank.write("loss.jsonl", "\n".join(map(json.dumps, lines)))
    bank.run("receive", "--partner", PARTNER, path, "--at", COMPLETED)
    settled = bank.run("settle", ORDER, "--at", COMPLETED)
    assert (settled["loss"], settled["pool"], settled["credited_total"]) == (
        "80.06",
        "0.00",
        "0.00",
    )
    assert settled["shares"]["bank"] == {"share": "0.00", "withheld": "0.00", "credited": "0.00"}
    assert "loss, not shared" in bank.say("statement", ORDER)[1]


def line(price: str, value: str) -> dict[str, str]:
    """Give a line of a report on one box of apples."""
    return {"product_number": "AKS-APPLE-5KG", "quantity": "1", price: value}


def test_what_people_see_of_messages(bank: Bank) -> None:
    """People see counts, and each refused message by file, line and id."""
    bank.placed()
    messages = (AKSU / "messages.jsonl").read_bytes().splitlines()
    path = bank.write("some.jsonl", b"\n".join([messages[0], messages[2], b"nonsense"]))
    code, out, err = bank.say("receive", "--partner", PARTNER, path, "--at", ORDERED)
    assert (code, err) == (1, "")
    assert f"{path}:2: SR-1: order_state" in out
    assert f"{path}:3: message without id: not_json" in out
    path = bank.write("none.jsonl", b"nonsense\n" * 30)
    out = bank.say("receive", "--partner", PARTNER, path, "--at", ORDERED)[1]
    assert (out.count("not_json"), out.count("… and 10 more")) == (20, 1)


@pytest.mark.parametrize("command", [("quota", "show"), ("outbox", "list"), ("journal",)])
def test_nothing_there_yet(bank: Bank, command: tuple[str, ...]) -> None:
    """An empty bank answers with empty lists, and says so to people."""
    bank.run("init")
    assert bank.run(*command) == []
    code, _, err = bank.say(*command)
    assert (code, err) == (0, "")


def test_a_sales_partner_without_a_schedule(bank: Bank) -> None:
    """Without a schedule no sales data are sent."""
    bank.run("init")
    path = bank.changed("sales_partner.json", push_schedule=None)
    assert bank.run("sales-partner", "add", path)["next_push_at"] is None
    assert bank.say("sales-partner", "add", path)[1] == "Sales partner sp-li (李明) is there.\n"


def test_terms_for_people(bank: Bank) -> None:
    """Setting terms says what is in force; an exhausted quota is shown."""
    bank.admitted()
    said: list[Any] = [
        bank.say(
            "quota",
            "set",
            bank.write("q.json", [{"scope": "total", "limit": "0", "currency": "CNY"}]),
        ),
        bank.say("sales-partner", "add", AKSU / "sales_partner.json"),
        bank.say("rule", "add", AKSU / "rule.json"),
        bank.say("policy", "set", AKSU / "policy.json"),
    ]
    assert [code for code, _, _ in said] == [0] * 4
    for (_, out, _), word in zip(
        said, ("total", "Asia/Shanghai", "version 1", "2026-1 is in force"), strict=True
    ):
        assert word in out
