"""Settlement rules: immutable versions, as JSON."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.codec import day, json_text, json_value, micros
from consignment.adapters.sqlalchemy.statements import KEYS, Session, Statement
from consignment.domain.errors import DuplicateKey
from consignment.domain.rule import (
    Amount,
    Band,
    Deduction,
    Ladder,
    Percent,
    PerUnit,
    SettlementRule,
    Share,
    Withholding,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from decimal import Decimal

__all__ = ["RuleRows"]

_C = tables.rules.c
_DATES = tables.rule_dates.c

_ADD = Statement(insert(tables.rules))
_GET = Statement(
    select(_C.content).where(
        _C.rule_id == bindparam("rule_id"), _C.version == bindparam("version")
    ),
    "rule_id",
    "version",
)
_ADD_DATE = Statement(insert(tables.rule_dates))
_GET_DATE = Statement(
    select(_DATES.rule_id).where(
        _DATES.scope == bindparam("scope"), _DATES.effective_from == bindparam("effective_from")
    ),
    "scope",
    "effective_from",
)
_OF_SCOPES = Statement(
    select(_C.content)
    .where(_C.scope.in_(bindparam(KEYS, expanding=True)))
    .order_by(_C.rule_id, _C.version)
)


class RuleRows:
    """Settlement rules."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, rule_id: str, version: int) -> SettlementRule | None:
        """Give a version of a rule."""
        rows = self._session.rows(_GET, rule_id, version)
        return _rule(json_value(rows[0][0])) if rows else None

    def of_scopes(self, scopes: Collection[str]) -> Sequence[SettlementRule]:
        """Give every version of every rule with one of these scopes."""
        return [_rule(json_value(row[0])) for row in self._session.rows_by(_OF_SCOPES, scopes)]

    def add(self, rule: SettlementRule, at: datetime) -> None:
        """Add a version."""
        row = rule.rule_id, rule.version, rule.scope, micros(at), json_text(_content(rule))
        self._session.add(_ADD, [row])
        place = rule.scope, rule.effective_from.isoformat()
        there = self._session.rows(_GET_DATE, *place)
        if not there:
            # Of two rules for the same scope and date, added at once, the second stops here.
            self._session.add(_ADD_DATE, [(*place, rule.rule_id)])
        elif there[0][0] != rule.rule_id:
            raise DuplicateKey(f"rule {there[0][0]} holds for {place}")


def _content(rule: SettlementRule) -> dict[str, Any]:
    return {
        "rule_id": rule.rule_id,
        "version": rule.version,
        "effective_from": rule.effective_from.isoformat(),
        "scope": rule.scope,
        "basis": rule.basis.value,
        "deductions": [
            [each.name, each.kind.value, _optional_text(each.percent)] for each in rule.deductions
        ],
        "amount": None if rule.amount is None else _amount_content(rule.amount),
        "shares": [[each.beneficiary, str(each.weight), _withheld(each)] for each in rule.shares],
        "currency": rule.currency,
    }


def _optional_text(value: Fraction | Decimal | None) -> str | None:
    if value is None:
        return None
    # A fraction writes itself as `1/8`; a decimal could write an exponent.
    return str(value) if isinstance(value, Fraction) else format(value, "f")


def _withheld(share: Share) -> list[str] | None:
    withholding = share.withholding
    if withholding is None:
        return None
    return [withholding.name, format(withholding.threshold, "f"), str(withholding.percent)]


def _amount_content(amount: Amount) -> dict[str, Any]:
    content: dict[str, Any] = {
        "minimum": _optional_text(amount.minimum),
        "cap": _optional_text(amount.cap),
    }
    match amount:
        case Percent():
            return {"kind": "percent", "percent": str(amount.percent), **content}
        case PerUnit():
            return {"kind": "per_unit", "value": format(amount.value, "f"), **content}
        case Ladder():
            bands = [[format(band.start, "f"), str(band.percent)] for band in amount.bands]
            return {"kind": "ladder", "method": amount.method.value, "bands": bands, **content}
        case _:
            raise TypeError(f"an amount of a kind that cannot be stored: {amount!r}")


def _amount(content: dict[str, Any]) -> Amount:
    kind = content.pop("kind")
    if kind == "percent":
        return Percent(**{**content, "percent": Fraction(content["percent"])})
    if kind == "per_unit":
        return PerUnit(**content)
    bands = tuple(Band(start, Fraction(percent)) for start, percent in content["bands"])
    return Ladder(**{**content, "bands": bands})


def _rule(content: dict[str, Any]) -> SettlementRule:
    amount = content["amount"]
    return SettlementRule(
        rule_id=content["rule_id"],
        version=content["version"],
        effective_from=day(content["effective_from"]),
        scope=content["scope"],
        basis=content["basis"],
        deductions=tuple(
            Deduction(name, kind, None if percent is None else Fraction(percent))
            for name, kind, percent in content["deductions"]
        ),
        amount=None if amount is None else _amount(amount),
        shares=tuple(
            Share(
                beneficiary,
                Fraction(weight),
                None
                if withheld is None
                else Withholding(withheld[0], withheld[1], Fraction(withheld[2])),
            )
            for beneficiary, weight, withheld in content["shares"]
        ),
        currency=content["currency"],
    )
