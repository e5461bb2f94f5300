"""Cooperation history: what the bank knows of a partner from its other systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from consignment.domain.partner import PartnerDetails

__all__ = ["CooperationHistory"]


class CooperationHistory(Protocol):
    """Knows when the bank last worked with a company, apart from orders placed here."""

    def last_cooperation(self, partner: PartnerDetails, until: datetime) -> datetime | None:
        """Give the instant of the latest cooperation not after `until` (UTC), None without any.

        It is asked before the decision's transaction begins. What it raises ends the admission
        request, with nothing kept.
        """
        ...
