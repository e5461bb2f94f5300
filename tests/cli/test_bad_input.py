"""Bad input gets a clear refusal with every place named, and leaves nothing half done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.bank import ADMITTED, AKSU, COMPLETED, ORDER, ORDERED, PARTNER, codes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.bank import Bank

HEAD = "number,name,unit,unit_places,currency,agreed_price,gtin,category,on_sale_from,on_sale_until"
GOOD = {
    "number": "G-1",
    "name": "好苹果",
    "unit": "BX",
    "unit_places": "0",
    "currency": "CNY",
    "agreed_price": "1.00",
    "gtin": "",
    "category": "",
    "on_sale_from": "",
    "on_sale_until": "",
}
SOLD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "X-1",
    "source": "/partners/aksu-luyuan",
    "type": "consignment.goods.sold",
    "time": "2026-10-01T09:00:00+08:00",
    "datacontenttype": "application/json",
    "data": {
        "order_id": ORDER,
        "lines": [{"product_number": "AKS-APPLE-5KG", "quantity": "1", "unit_price": "68.80"}],
    },
}


def products(bank: Bank) -> int:
    """Count the products that there are."""
    return len(bank.run("progress", "--name", "苹果")["products"])


def receive(bank: Bank, *messages: object, partner: str = PARTNER) -> dict[str, Any]:
    """Let refused messages come in, and give the answer."""
    lines = [
        each if isinstance(each, bytes) else json.dumps(each, ensure_ascii=False).encode()
        for each in messages
    ]
    path = bank.write("messages.jsonl", b"\n".join(lines))
    answer: dict[str, Any] = bank.run(
        "receive", "--partner", partner, path, "--at", COMPLETED, expect=1
    )
    return answer


def refused_codes(answer: dict[str, Any]) -> list[str]:
    """Give the reasons of the only refused message."""
    (refusal,) = answer["refusals"]
    return [each["code"] for each in refusal["reasons"]]


# Product files.


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"number,name,unit,agreed_price\nA,B,C,1.00\n", "column_missing"),
        ((HEAD + "\nA,").encode() + b"\xff\xfe\x00\x81,BX,0,CNY,1.00,,,,\n", "nul_byte"),
        ((HEAD + "\nA,").encode() + b"\xff\xff,BX,0,CNY,1.00,,,,\n", "wrong_encoding"),
        ((HEAD + "\nA," + "x" * 10_000_000 + ",BX,0,CNY,1.00,,,,\n").encode(), "line_too_long"),
        ((HEAD + "\nA,a\0b,BX,0,CNY,1.00,,,,\n").encode(), "nul_byte"),
        (b"", "file_empty"),
    ],
    ids=["missing column", "utf-16", "wrong encoding", "10 MB line", "NUL", "empty"],
)
def test_an_unusable_product_file(bank: Bank, content: bytes, code: str) -> None:
    """A product file that cannot be read is told with its name, and nothing of it lands."""
    bank.admitted()
    path = bank.write("bad.csv", content)
    refused = bank.run("import", PARTNER, path, "--at", ADMITTED, expect=2)
    assert code in codes(refused)
    assert {each["file"] for each in refused["refused"]} == {str(path)}


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("gtin", "6970000000018", "gtin_check_failed"),
        ("currency", "XYZ", "currency_unknown"),
        ("agreed_price", "1.005", "too_many_places"),
        ("agreed_price", "NaN", "price_invalid"),
        ("agreed_price", "1e5", "price_invalid"),
        ("agreed_price", "-1.00", "price_negative"),
        ("agreed_price", "9999999999999999.00", "amount_too_large"),
        ("name", "   ", "text_missing"),
        ("name", "\u202eabc", "text_unprintable"),
        ("on_sale_from", "2026-02-30", "date_invalid"),
        ("unit_places", "9", "unit_places_invalid"),
    ],
)
def test_a_bad_row_is_rejected_by_column(bank: Bank, column: str, value: str, code: str) -> None:
    """A bad row is rejected with row, line, column and value, and the good row beside it lands."""
    bank.admitted()
    rows = [{**GOOD, "number": "B-1", column: value}, GOOD]
    path = bank.write("rows.csv", "\n".join([HEAD, *(",".join(row.values()) for row in rows)]))
    answer = bank.run("import", PARTNER, path, "--at", ADMITTED)
    assert (answer["created"], answer["rejected"]) == (1, 1)
    assert answer["products"] == [["G-1", "好苹果"]]
    (rejection,) = answer["rejections"]
    assert (rejection["row"], rejection["line"]) == (1, 2)
    (fault,) = rejection["reasons"]
    assert (fault["code"], fault["column"], fault["value"]) == (code, column, value)


def test_all_or_nothing(bank: Bank) -> None:
    """With `--all-or-nothing` one bad row refuses the file, and no row lands."""
    bank.admitted()
    rows = [GOOD, {**GOOD, "number": "B-1", "currency": "XYZ"}]
    path = bank.write("rows.csv", "\n".join([HEAD, *(",".join(row.values()) for row in rows)]))
    refused = bank.run("import", PARTNER, path, "--all-or-nothing", "--at", ADMITTED, expect=1)
    (fault,) = refused["refused"]
    assert (fault["code"], fault["row"], fault["line"]) == ("row_rejected", 2, 3)
    assert fault["file"] == str(path)
    assert products(bank) == 1


def test_a_partner_that_is_not_admitted_imports_nothing(bank: Bank) -> None:
    """Products of a partner that is not admitted are refused."""
    bank.opened()
    refused = bank.run("import", "nobody", AKSU / "products.csv", "--at", ADMITTED, expect=1)
    assert codes(refused) == ["partner_not_admitted"]


# Documents.


def admission(bank: Bank, **members: object) -> Path:
    """Write an admission request of a partner with other members."""
    partner = json.loads((AKSU / "admission.json").read_text("utf-8"))["partner"]
    return bank.changed("admission.json", partner={**partner, **members})


@pytest.mark.parametrize(
    ("members", "code", "at"),
    [
        (
            {"registration_number": "91652901MA00000150"},
            "registration_number_check_failed",
            "partner.registration_number",
        ),
        ({"name": "  "}, "text_missing", "partner.name"),
        ({"name": "\u2067x"}, "text_unprintable", "partner.name"),
        ({"partner_id": "a b"}, "id_invalid", "partner.partner_id"),
    ],
)
def test_a_value_that_can_never_be_right(
    bank: Bank, members: dict[str, object], code: str, at: str
) -> None:
    """A wrong value in a document is refused by file and field, and nothing is kept."""
    bank.opened()
    path = admission(bank, **members)
    refused = bank.run("admit", path, "--at", ADMITTED, expect=1)
    (fault,) = refused["refused"]
    assert (fault["code"], fault["at"], fault["file"]) == (code, at, str(path))
    assert bank.run("partner", "list") == []


def test_a_registration_number_of_a_rural_collective(bank: Bank) -> None:
    """A registration number that starts with N is as good as others."""
    bank.opened()
    path = admission(bank, registration_number="N2652901MA00000159")
    assert bank.run("admit", path, "--at", ADMITTED)["decision"] == "admitted"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"[" * 100_000, "too_deep"),
        (b'{"version": "' + b"x" * 2_000_000 + b'"}', "too_large"),
        (b'{"version": 1', "not_json"),
        (b"\xff\xfe", "not_utf8"),
        (b"", "input_empty"),
        (b'{"version": NaN}', "number_not_finite"),
        (b'{"version": 1e5}', "number_not_exact"),
        (b'{"version": 12345678901234567890}', "number_too_large"),
        (b'{"colour": "red"}', "unknown_field"),
        (b'{"version": "a", "version": "b"}', "name_repeated"),
        (b"[1]", "wrong_type"),
    ],
)
def test_an_unusable_document(bank: Bank, content: bytes, code: str) -> None:
    """A document that is not what it should be is unusable, with its file and every fault."""
    bank.opened()
    path = bank.write("policy.json", content)
    refused = bank.run("policy", "set", path, expect=2)
    assert code in codes(refused)
    assert {each["file"] for each in refused["refused"]} == {str(path)}


@pytest.mark.parametrize(
    ("name", "code"),
    [("absent.json", "file_not_found"), (".", "not_a_file"), ("a\0b", "file_not_found")],
)
def test_a_file_that_cannot_be_read(bank: Bank, name: str, code: str) -> None:
    """A file that is not there, or is none, is told by name, for every command that reads one."""
    bank.ready()
    path = str(bank.folder / name)
    commands = [
        ("policy", "set", path),
        ("admit", path),
        ("assess", "ADM-2026-0001", path, "--actor", "wang"),
        ("quota", "set", path),
        ("sales-partner", "add", path),
        ("rule", "add", path),
        ("order", "place", path),
        ("receive", "--partner", PARTNER, path),
    ]
    for command in commands:
        (fault,) = bank.run(*command, expect=2)["refused"]
        assert (fault["code"], fault["file"]) == (code, path)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"shares": []}, "shares_empty"),
        ({"shares": [{"beneficiary": "bank", "weight": "0"}]}, "weights_zero"),
        (
            {"amount": {"kind": "percent", "percent": "50", "minimum": "10", "cap": "5"}},
            "minimum_above_cap",
        ),
        ({"currency": "XXX"}, "currency_unknown"),
    ],
)
def test_a_rule_that_cannot_be(bank: Bank, members: dict[str, object], code: str) -> None:
    """A settlement rule that can divide nothing is refused when it is made."""
    bank.ready()
    path = bank.changed("rule.json", rule_id="another", **members)
    refused = bank.run("rule", "add", path, expect=1)
    assert codes(refused) == [code]


def test_quotas_and_demands_that_cannot_be(bank: Bank) -> None:
    """Three decimals in CNY, a negative limit, an unknown product: refused, nothing kept."""
    bank.ready()
    for limit, code in {"1.005": "too_many_places", "-1": "limit_negative"}.items():
        path = bank.write("q.json", [{"scope": "total", "limit": limit, "currency": "CNY"}])
        assert codes(bank.run("quota", "set", path, expect=1)) == [code]
    assert len(bank.run("quota", "show")) == 1
    lines = [
        {"product_number": "NOPE", "quantity": "1"},
        {"product_number": "AKS-APPLE-5KG", "quantity": "0.5"},
    ]
    demand = bank.changed("demand.json", lines=lines)
    refused = bank.run("order", "place", demand, "--at", ORDERED, expect=1)
    assert codes(refused) == ["product_unknown", "quantity_invalid"]
    assert codes(bank.run("order", "show", ORDER, expect=1)) == ["order_unknown"]


# Reports.


def test_a_report_before_acceptance(bank: Bank) -> None:
    """Sales before the partner has accepted the order are refused."""
    bank.placed()
    answer = receive(bank, SOLD)
    assert refused_codes(answer) == ["order_state"]
    assert (answer["taken"], answer["repeated"], answer["refused"]) == (0, 0, 1)
    assert (answer["refusals"][0]["id"], answer["refusals"][0]["line"]) == ("X-1", 1)


def on_sale(bank: Bank) -> None:
    """Let the order be accepted and its goods be procured."""
    bank.placed()
    messages = (AKSU / "messages.jsonl").read_bytes().splitlines()
    path = bank.write("begin.jsonl", b"\n".join(messages[:2]))
    bank.run("receive", "--partner", PARTNER, path, "--at", "2026-09-03T16:00:00+08:00")


def line(quantity: str, **members: str) -> dict[str, str]:
    """Give a line of a report."""
    return {"product_number": "AKS-APPLE-5KG", "quantity": quantity, **members}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"data": {"order_id": "D:other", "lines": SOLD["data"]["lines"]}}, "order_not_of_partner"),
        ({"data": {"order_id": ORDER, "lines": [line("121", unit_price="1")]}}, "over_sold"),
        ({"data": {"order_id": ORDER, "lines": [line("1", unit_price="1")] * 2}}, "line_repeated"),
        ({"data": {"order_id": ORDER, "lines": []}}, "lines_empty"),
        ({"data": {"order_id": ORDER, "lines": [line("NaN", unit_price="1")]}}, "number_invalid"),
        ({"data": {"order_id": ORDER, "lines": [line("1e5", unit_price="1")]}}, "number_invalid"),
        ({"data": {"order_id": ORDER, "lines": [line("-1", unit_price="1")]}}, "quantity_invalid"),
        ({"data": {"order_id": ORDER, "lines": [line("1", unit_price="1.001")]}}, "amount_invalid"),
        (
            {
                "type": "consignment.goods.procured",
                "data": {"order_id": ORDER, "lines": [line("1", unit_cost="1")]},
            },
            "procurement_final",
        ),
        (
            {"type": "consignment.order.completed", "data": {"order_id": ORDER}},
            "completion_unreconciled",
        ),
        ({"type": "consignment.goods.eaten"}, "type_unknown"),
        ({"id": "PR-1"}, "report_conflict"),
    ],
)
def test_a_report_that_cannot_be(bank: Bank, change: dict[str, object], code: str) -> None:
    """A report that the order's state or figures forbid is refused whole."""
    on_sale(bank)
    before = bank.run("progress", "--order", ORDER, "--at", COMPLETED)
    assert code in refused_codes(receive(bank, {**SOLD, **change}))
    assert bank.run("progress", "--order", ORDER, "--at", COMPLETED) == before


def test_procuring_more_than_ordered(bank: Bank) -> None:
    """More procured than was ordered is refused."""
    bank.placed()
    accepted = (AKSU / "messages.jsonl").read_bytes().splitlines()[0]
    lines = [line("121", unit_cost="1")]
    procured = {
        **SOLD,
        "type": "consignment.goods.procured",
        "data": {"order_id": ORDER, "lines": lines},
    }
    answer = receive(bank, accepted, procured)
    assert refused_codes(answer) == ["over_procured"]
    assert (answer["taken"], answer["refusals"][0]["line"]) == (1, 2)


def test_messages_that_are_none(bank: Bank) -> None:
    """Lines that are no messages are refused by their line, and the good one between is taken."""
    on_sale(bank)
    deep = b"[" * 1000
    answer = receive(bank, b"{", b"", SOLD, deep, b"x" * 2_000_000)
    assert (answer["taken"], answer["refused"]) == (1, 3)
    places = {
        each["line"]: (each["id"], [fault["code"] for fault in each["reasons"]])
        for each in answer["refusals"]
    }
    assert places == {
        1: (None, ["not_json"]),
        4: (None, ["too_deep"]),
        5: (None, ["too_large"]),
    }


def test_messages_of_an_unknown_partner(bank: Bank) -> None:
    """A partner that does not exist reports nothing."""
    bank.placed()
    refused = receive(bank, SOLD, partner="nobody")
    assert refused == {"refused": [{"code": "partner_unknown", "partner_id": "nobody"}]}


# Questions.


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("progress", "--number", "NOPE"), "product_unknown"),
        (("progress", "--order", "NOPE"), "order_unknown"),
        (("progress", "--name", "  "), "name_empty"),
        (("progress", "--name", "a", "--limit", "0"), "limit_invalid"),
        (("progress", "--name", "a", "--page", "x"), "page_invalid"),
        (("order", "show", "NOPE"), "order_unknown"),
        (("order", "cancel", "NOPE", "--reason", "r"), "order_unknown"),
        (("order", "short-close", ORDER, "--reason", "r"), "order_state"),
        (("settle", ORDER), "order_state"),
        (("settle", "NOPE", "--preview"), "order_unknown"),
        (("statement", ORDER), "not_settled"),
        (("balance", "till"), "account_invalid"),
        (("balance", "partner:"), "account_invalid"),
        (("balance", "bank:x"), "account_invalid"),
        (("journal", "--order", "NOPE"), "order_unknown"),
        (("outbox", "retry", "NOPE"), "entry_unknown"),
        (("partner", "suspend", "NOPE", "--reason", "r", "--actor", "a"), "partner_unknown"),
        (("partner", "reinstate", PARTNER, "--reason", "r", "--actor", "a"), "partner_status"),
        (("partner", "exit", PARTNER, "--reason", " ", "--actor", "a"), "text_missing"),
    ],
)
def test_what_cannot_be_answered(bank: Bank, command: tuple[str, ...], code: str) -> None:
    """What is unknown, or cannot happen now, is refused by a code, with exit code 1."""
    bank.placed()
    assert codes(bank.run(*command, expect=1)) == [code]


def test_people_are_told_where(bank: Bank) -> None:
    """People read file, field, code and figures on standard error, and nothing on the other."""
    bank.opened()
    path = admission(bank, name=" ", partner_id="a b")
    code, out, err = bank.say("admit", path, "--at", ADMITTED)
    assert (code, out) == (1, "")
    assert f"refused: {path}: id_invalid (at partner.partner_id" in err
    assert f"refused: {path}: text_missing (at partner.name" in err


def test_a_file_of_no_messages_is_no_success(bank: Bank) -> None:
    """An empty file of messages is a lost upload rather than a partner with nothing to say."""
    bank.placed()
    for content in ("", "\n \n"):
        path = bank.write("none.jsonl", content)
        refused = bank.run("receive", "--partner", PARTNER, path, "--at", ORDERED, expect=2)
        assert codes(refused) == ["file_empty"]


def test_an_account_of_nobody_is_not_zero(bank: Bank) -> None:
    """Zero is the balance of somebody known; nobody has none."""
    bank.ready()
    assert bank.run("balance", "sales_partner:sp-li")["balance"] == "0.00"
    assert codes(bank.run("balance", "sales_partner:nobody", expect=1)) == ["sales_partner_unknown"]
    assert codes(bank.run("balance", "partner:nobody", expect=1)) == ["partner_unknown"]


def test_a_number_in_place_of_a_document(bank: Bank) -> None:
    """What is shown of it is what stands in the file."""
    path = bank.write("number.json", "1e999")
    refused = bank.run("admit", path, expect=2)["refused"]
    assert {each["value"] for each in refused} == {"1e999"}


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_an_instant_at_the_end_of_the_calendar(bank: Bank, at: str) -> None:
    """It leaves no room to reckon with days before or after it."""
    bank.opened()
    assert codes(bank.run("work", "--at", at, expect=2)) == ["usage"]
