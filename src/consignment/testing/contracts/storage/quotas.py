"""Quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from consignment.domain.errors import StaleWrite
from consignment.domain.order import OrderState
from consignment.domain.quota import Quota
from consignment.testing.builders import NOW, a_line, a_partner, a_product, a_quota, an_order
from consignment.testing.contracts.storage.base import StorageCase
from consignment.testing.contracts.support import raises

if TYPE_CHECKING:
    from consignment.ports.storage import Transaction

__all__ = ["QuotaBookContract"]

_BIG = 10**15


class QuotaBookContract(StorageCase):
    """Quotas."""

    def _put_quotas(self, *quotas: Quota, partner_id: str | None = None) -> None:
        def work(t: Transaction) -> None:
            for quota in quotas:
                t.quotas.put(quota, partner_id)

        self.write(work)

    def _used_of_quotas(self) -> dict[str, int]:
        return {quota.scope: quota.used_minor for quota in self.rows(lambda t: t.quotas.list())}

    def _change_quotas(self, amounts: dict[str, int]) -> None:
        changes = {(scope, "CNY"): amount for scope, amount in amounts.items()}
        self.write(lambda t: t.quotas.change({"green-farm": changes}))

    def test_quotas_are_listed_by_scope_and_currency(self) -> None:
        """`list` gives every quota as it is, ordered by scope, then currency."""
        self.given(a_partner(), a_product("苹果"))
        bank = [
            a_quota("total", currency="USD"),
            a_quota("total", used="12.34"),
            Quota("business_line:retail", "CNY", _BIG, _BIG + 1),
        ]
        own = [a_quota("product:苹果"), a_quota("partner:green-farm", "0")]
        self._put_quotas(*bank)
        self._put_quotas(*own, partner_id="green-farm")
        assert self.rows(lambda t: t.quotas.list()) == sorted(
            [*bank, *own], key=lambda quota: quota.key
        )

    def test_put_replaces_limit_and_used(self) -> None:
        """`put` sets a quota that is there anew; what is used may exceed the limit."""
        self._put_quotas(a_quota(limit="100.00", used="50.00"))
        self._put_quotas(a_quota(limit="10.00", used="60.00"))
        assert self.rows(lambda t: t.quotas.list()) == [a_quota(limit="10.00", used="60.00")]

    def test_applicable_quotas(self) -> None:
        """Applicable are `total`, those of the lines, of the partner, and of its products."""
        self.given(a_product("A"), a_product("B", "other-farm"))
        self._put_quotas(
            *map(a_quota, ("total", "business_line:retail", "business_line:corporate"))
        )
        self._put_quotas(a_quota("total", currency="USD"))
        self._put_quotas(
            a_quota("partner:green-farm"), a_quota("product:A"), partner_id="green-farm"
        )
        self._put_quotas(
            a_quota("partner:other-farm"), a_quota("product:B"), partner_id="other-farm"
        )

        def keys(lines: list[str], partner_id: str) -> list[str]:
            quotas = self.rows(lambda t: t.quotas.applicable(lines, partner_id))
            return sorted(f"{quota.scope} {quota.currency}" for quota in quotas)

        assert keys(["retail"], "green-farm") == [
            "business_line:retail CNY",
            "partner:green-farm CNY",
            "product:A CNY",
            "total CNY",
            "total USD",
        ]
        assert keys(["retail", "corporate"], "nobody") == [
            "business_line:corporate CNY",
            "business_line:retail CNY",
            "total CNY",
            "total USD",
        ]
        assert keys([], "nobody") == ["total CNY", "total USD"]

    def test_changes_add_to_what_is_used(self) -> None:
        """Increases up to the limit and decreases down to nothing are added, to the unit."""
        self._put_quotas(Quota("total", "CNY", _BIG, 1))
        self._change_quotas({"total": _BIG - 1})
        assert self._used_of_quotas() == {"total": _BIG}
        self._change_quotas({"total": -_BIG})
        assert self._used_of_quotas() == {"total": 0}

    def test_an_increase_that_does_not_fit_is_stale(self) -> None:
        """An increase beyond the limit raises `StaleWrite`, and nothing of the call stands."""
        self._put_quotas(
            Quota("business_line:retail", "CNY", 1000), Quota("total", "CNY", 500, 100)
        )
        with raises(StaleWrite):
            self._change_quotas({"business_line:retail": 401, "total": 401})
        assert self._used_of_quotas() == {"business_line:retail": 0, "total": 100}
        self._change_quotas({"business_line:retail": 400, "total": 400})
        assert self._used_of_quotas() == {"business_line:retail": 400, "total": 500}

    def test_a_decrease_always_fits(self) -> None:
        """What is released is released also where more than the limit is used."""
        self._put_quotas(Quota("total", "CNY", 100, 900))
        self._change_quotas({"total": -1})
        assert self._used_of_quotas() == {"total": 899}
        with raises(StaleWrite):
            self._change_quotas({"total": 1})
        self._change_quotas({"total": 0})
        assert self._used_of_quotas() == {"total": 899}

    def test_keys_without_a_quota_are_passed_over(self) -> None:
        """A change of what has no quota, or none in that currency, is no change."""
        self.given(a_product())
        self._put_quotas(Quota("total", "CNY", 1000), Quota("business_line:retail", "USD", 1000))
        self._change_quotas(
            {
                "total": 10,
                "business_line:retail": 10,
                "partner:green-farm": _BIG,
                "product:APPLE": _BIG,
            }
        )
        assert self._used_of_quotas() == {"total": 10, "business_line:retail": 0}
        self._change_quotas({})
        assert self._used_of_quotas() == {"total": 10, "business_line:retail": 0}

    def test_changes_reach_the_partners_own_quotas(self) -> None:
        """Quotas of the partner and of its products are changed beside the bank's."""
        self.given(a_product())
        own = [Quota("partner:green-farm", "CNY", 50), Quota("product:APPLE", "CNY", 50)]
        self._put_quotas(*own, partner_id="green-farm")
        self._put_quotas(Quota("total", "CNY", 100))
        amounts = {"partner:green-farm": 50, "product:APPLE": 20, "total": 50}
        self._change_quotas(amounts)
        assert self._used_of_quotas() == amounts
        with raises(StaleWrite):
            self._change_quotas(dict.fromkeys(amounts, 1))
        assert self._used_of_quotas() == amounts

    def test_reserved_is_summed_from_open_orders(self) -> None:
        """`reserved` sums what open orders reserve in a scope, by currency."""
        line = a_line("A", 10, price_minor=1000)
        grams = a_line("B", 1500, price_minor=333, places=3)
        other = a_line("C", 1, price_minor=7)
        self.given(
            an_order("D-1", "green-farm", line, grams),
            an_order("D-2", "green-farm", evolve(line, procured=4, delivery_final=True)),
            an_order("D-3", "green-farm", line, business_line="corporate"),
            an_order("D-4", "green-farm", line, state=OrderState.CANCELLED, ended_at=NOW),
            an_order("D-5", "green-farm", line, state=OrderState.SETTLED, settled_at=NOW),
            an_order("D-1", "other-farm", other),
            an_order("D-6", "green-farm", a_line("U", price_minor=1), currency="USD"),
        )

        def reserved(scope: str, currency: str = "CNY") -> int:
            return self.read(lambda t: t.quotas.reserved(scope, currency))

        # 1.500 x 3.33 = 4.995, half-up 5.00.
        assert reserved("product:A") == 10_000 + 4_000 + 10_000
        assert reserved("product:B") == 500
        assert reserved("partner:green-farm") == 24_500
        assert reserved("partner:other-farm") == 7
        assert reserved("business_line:corporate") == 10_000
        assert reserved("business_line:retail") == 14_507
        assert reserved("total") == 24_507
        assert reserved("total", "USD") == 10
        assert reserved("total", "JPY") == 0
        assert reserved("product:none") == 0
