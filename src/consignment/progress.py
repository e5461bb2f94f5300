"""Progress (代销进度): how the goods are selling; by number, by name, by order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

from consignment._orders import order_of
from consignment.domain.errors import InvalidValue, NotFound, reason
from consignment.domain.name_search import NamePlace
from consignment.domain.order import partner_id_of
from consignment.domain.progress import NamePage
from consignment.domain.progress import Progress as ProgressAnswer
from consignment.domain.settings import Settings
from consignment.domain.text import name_key
from consignment.ports.clock import Clock
from consignment.ports.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date, datetime

    from consignment.ports.storage import Transaction

__all__ = ["Progress"]

_MAX_PAGE = 1000
#: The rank, how long the tail is, the tail and the number.
_PAGE = re.compile(r"(?P<rank>[0-3]):(?P<length>[1-9]|1[0-6]):(?P<rest>.+)", re.DOTALL)


@frozen
class Progress:
    """The queries of progress."""

    _storage: Storage
    _clock: Clock
    _settings: Settings

    def by_number(self, product_number: str) -> ProgressAnswer:
        """Tell how a product is selling, else raise `NotFound` (`product_unknown`)."""
        return self.by_numbers([product_number])[0]

    def by_numbers(self, product_numbers: Sequence[str]) -> list[ProgressAnswer]:
        """Tell how products are selling, in the order asked.

        Raises `NotFound` with a `product_unknown` for each number that does not exist.
        """
        now = self._clock.now()
        today = self._settings.day_of(now)

        def work(tx: Transaction) -> list[ProgressAnswer]:
            found = tx.products.by_numbers(product_numbers)
            unknown = [
                reason("product_unknown", product_number=number[:80])
                for number in product_numbers
                if number not in found
            ]
            if unknown:
                raise NotFound(unknown)
            return [
                ProgressAnswer.of_product(*found[number], as_of=now, today=today)
                for number in product_numbers
            ]

        return self._storage.read(work, one_instant=False)

    def by_name(self, text: str, *, page: str | None = None, limit: int = 100) -> NamePage:
        """Find products by name and tell how they are selling.

        The whole name comes first, then names that begin with the text, then those that have it
        somewhere, then those that have it in another form, such as the initials of Pinyin (see
        `ports.name_forms`). Within each they are ordered by what follows the text, then by number.
        Width, case and composition do not matter. `limit` is at most 1000; `page` is the
        `next_page` of the page before: it goes on exactly behind it, whatever was added meanwhile.
        Nothing found is an empty page.
        Raises `InvalidValue`: `name_empty`, `page_invalid`, `limit_invalid`.
        """
        key = name_key(text)
        if not key:
            raise InvalidValue(reason("name_empty"))
        if not 1 <= limit <= _MAX_PAGE:
            raise InvalidValue(reason("limit_invalid", limit=limit, most=_MAX_PAGE))
        after = None if page is None else _after(page)
        now = self._clock.now()
        today = self._settings.day_of(now)
        hits = self._storage.read(
            lambda tx: tx.products.find(key, after=after, limit=limit + 1), one_instant=False
        )
        answers = tuple(
            ProgressAnswer.of_product(hit.product, hit.tally, as_of=now, today=today)
            for hit in hits[:limit]
        )
        if len(hits) <= limit:
            return NamePage(answers)
        last = hits[limit - 1]
        return NamePage(answers, _page(last.place))

    def by_order(self, order_id: str) -> list[ProgressAnswer]:
        """Tell how each product of an order is selling, in the order's own order.

        Raises `NotFound` (`order_unknown`).
        """
        now = self._clock.now()
        today = self._settings.day_of(now)
        return self._storage.read(lambda tx: _of_order(tx, order_id, now, today))

    def by_partner(self, partner_id: str) -> list[ProgressAnswer]:
        """Tell how a partner's products are selling that were ever ordered, by number.

        Raises `NotFound` (`partner_unknown`).
        """

        def known(tx: Transaction) -> None:
            if partner_id not in tx.partners.get([partner_id]):
                raise NotFound(reason("partner_unknown", partner_id=partner_id[:80]))

        return self._summed(known, partner_id=partner_id)

    def by_sales_partner(self, sales_partner_id: str) -> list[ProgressAnswer]:
        """Tell how what is sold on a sales partner's behalf is selling, by partner and number.

        Only that sales partner's orders count. Raises `NotFound` (`sales_partner_unknown`).
        """

        def known(tx: Transaction) -> None:
            if sales_partner_id not in tx.sales_partners.get([sales_partner_id]):
                raise NotFound(
                    reason("sales_partner_unknown", sales_partner_id=sales_partner_id[:80])
                )

        return self._summed(known, sales_partner_id=sales_partner_id)

    def by_business_line(self, business_line: str) -> list[ProgressAnswer]:
        """Tell how the products of a business line's orders are selling, by partner and number."""
        return self._summed(lambda _: None, business_line=business_line)

    def _summed(
        self, check: Callable[[Transaction], None], **condition: str
    ) -> list[ProgressAnswer]:
        now = self._clock.now()
        today = self._settings.day_of(now)

        def work(tx: Transaction) -> list[ProgressAnswer]:
            check(tx)
            tallies = tx.products.tallies(**condition)
            products = tx.products.by_numbers([number for _, number in tallies])
            return [
                ProgressAnswer.of_product(products[number][0], tally, as_of=now, today=today)
                for (_, number), tally in tallies.items()
            ]

        return self._storage.read(work)


def _of_order(tx: Transaction, order_id: str, now: datetime, today: date) -> list[ProgressAnswer]:
    order = order_of(tx, order_id)
    numbers = [line.product_number for line in order.lines]
    products = tx.products.get(partner_id_of(order_id), numbers)
    return [
        ProgressAnswer.of_line(
            order,
            line,
            lifetime_left_days=products[line.product_number][0].lifetime_left_days(today),
            as_of=now,
        )
        for line in order.lines
    ]


def _page(place: NamePlace) -> str:
    return f"{place.rank}:{len(place.tail)}:{place.tail}{place.number}"


def _after(page: str) -> NamePlace:
    named = _PAGE.fullmatch(page)
    if named is not None:
        length = int(named["length"])
        tail, number = named["rest"][:length], named["rest"][length:]
        if tail and number:
            return NamePlace(int(named["rank"]), tail, number)
    raise InvalidValue(reason("page_invalid", page=page[:80]))
