"""Cooperation history that is told what it knows."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from consignment.domain.settings import in_utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from consignment.domain.partner import PartnerDetails
    from consignment.ports.cooperation_history import CooperationHistory

__all__ = ["KnownCooperations"]


class KnownCooperations:
    """Knows the cooperations it was given, by partner id or registration number; none at first."""

    def __init__(self, known: Mapping[str, Iterable[datetime]] | None = None) -> None:
        self._known: dict[str, list[datetime]] = {}
        self._lock = Lock()
        for partner, instants in (known or {}).items():
            self.add(partner, *instants)

    def add(self, partner: str, *instants: datetime) -> None:
        """Note cooperations (aware instants) with a partner id or registration number."""
        told = [in_utc(each) for each in instants]
        with self._lock:
            self._known.setdefault(partner, []).extend(told)

    def last_cooperation(self, partner: PartnerDetails, until: datetime) -> datetime | None:
        """Give the latest cooperation not after `until`, None without any."""
        with self._lock:
            instants = [
                instant
                for name in (partner.partner_id, partner.registration_number)
                for instant in self._known.get(name, ())
                if instant <= until
            ]
        return max(instants, default=None)


if TYPE_CHECKING:
    _: type[CooperationHistory] = KnownCooperations
