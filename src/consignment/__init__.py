"""Consignment sales (代销): from admitting a partner to crediting the profit, exactly once.

Admit partners, import what they may sell, dispatch purchase orders, see at once how goods sell.

`Consignment` is the way in: `Consignment.open("sqlite:///bank.db")`. The names here are those that
a service uses day by day; adapters, ports and what tests need are in `consignment.adapters`,
`consignment.ports` and `consignment.testing`.
"""

from consignment.desk import Consignment, Work
from consignment.domain.admission import (
    AdmissionDecision,
    AdmissionPolicy,
    AdmissionRequest,
    Assessment,
    Criterion,
    Decision,
)
from consignment.domain.errors import (
    Conflict,
    ConsignmentError,
    IllegalTransition,
    InvalidValue,
    NotFound,
    Reason,
    Refused,
    StorageBusy,
    StorageError,
    UnusableInput,
)
from consignment.domain.money import Money
from consignment.domain.order import ConsignmentDemand, DemandLine, OrderState, PurchaseOrder
from consignment.domain.partner import Account, BusinessLine, Partner, PartnerDetails, PartnerStatus
from consignment.domain.product import ConsignedProduct
from consignment.domain.progress import Progress
from consignment.domain.quantity import Quantity
from consignment.domain.quota import Quota
from consignment.domain.report import (
    Accepted,
    Completed,
    ExpenseReported,
    GoodsLine,
    PartnerReport,
    Procured,
    Rejected,
    Returned,
    SentBack,
    Sold,
    WrittenOff,
)
from consignment.domain.rule import (
    Band,
    Deduction,
    Ladder,
    Percent,
    PerUnit,
    SettlementRule,
    Share,
    Withholding,
)
from consignment.domain.sales_partner import PushSchedule, SalesPartner
from consignment.domain.settings import BackOff, Settings
from consignment.domain.settlement import Settlement

__all__ = [
    "Accepted",
    "Account",
    "AdmissionDecision",
    "AdmissionPolicy",
    "AdmissionRequest",
    "Assessment",
    "BackOff",
    "Band",
    "BusinessLine",
    "Completed",
    "Conflict",
    "ConsignedProduct",
    "Consignment",
    "ConsignmentDemand",
    "ConsignmentError",
    "Criterion",
    "Decision",
    "Deduction",
    "DemandLine",
    "ExpenseReported",
    "GoodsLine",
    "IllegalTransition",
    "InvalidValue",
    "Ladder",
    "Money",
    "NotFound",
    "OrderState",
    "Partner",
    "PartnerDetails",
    "PartnerReport",
    "PartnerStatus",
    "PerUnit",
    "Percent",
    "Procured",
    "Progress",
    "PurchaseOrder",
    "PushSchedule",
    "Quantity",
    "Quota",
    "Reason",
    "Refused",
    "Rejected",
    "Returned",
    "SalesPartner",
    "SentBack",
    "Settings",
    "Settlement",
    "SettlementRule",
    "Share",
    "Sold",
    "StorageBusy",
    "StorageError",
    "UnusableInput",
    "Withholding",
    "Work",
    "WrittenOff",
]
