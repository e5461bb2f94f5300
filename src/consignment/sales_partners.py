"""Sales partners (销售合伙人): on whose behalf goods are sold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from consignment.domain.errors import Conflict, NotFound, reason
from consignment.domain.journal import Fact, FactKind
from consignment.domain.message import BANK
from consignment.ports.clock import Clock
from consignment.ports.storage import Storage

if TYPE_CHECKING:
    from consignment.domain.sales_partner import SalesPartner
    from consignment.ports.storage import Transaction

__all__ = ["SalesPartners"]


@frozen
class SalesPartners:
    """The use cases of sales partners."""

    _storage: Storage
    _clock: Clock

    def add(self, sales_partner: SalesPartner, *, actor: str | None = None) -> SalesPartner:
        """Add a sales partner; its first push is the first slot of its schedule from now on.

        The same content again changes nothing. Raises `Conflict` (`sales_partner_conflict`) when
        the id is there with other content.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> SalesPartner:
            sales_partner_id = sales_partner.sales_partner_id
            known = tx.sales_partners.get([sales_partner_id]).get(sales_partner_id)
            if known is not None:
                if not known.same_as(sales_partner):
                    raise Conflict(
                        reason("sales_partner_conflict", sales_partner_id=sales_partner_id)
                    )
                return known
            scheduled = sales_partner.scheduled_from(now)
            tx.sales_partners.add(scheduled)
            data = {"sales_partner_id": sales_partner_id, "name": sales_partner.name}
            tx.journal.append([Fact(FactKind.SALES_PARTNER_SET, now, BANK, actor=actor, data=data)])
            return scheduled

        return self._storage.write(work)

    def get(self, sales_partner_id: str) -> SalesPartner:
        """Give a sales partner, else raise `NotFound` (`sales_partner_unknown`)."""
        found = self._storage.read(lambda tx: tx.sales_partners.get([sales_partner_id]))
        if sales_partner_id not in found:
            raise NotFound(reason("sales_partner_unknown", sales_partner_id=sales_partner_id[:80]))
        return found[sales_partner_id]
