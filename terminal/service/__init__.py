"""The identity service, seen from the till: one kept connection, one stream for each purchase, debts paid on streams of their own."""

from terminal.service.enrolment import Enrolled, Enrolling, EnrolmentFailed, enrol
from terminal.service.link import Link, ServiceLost
from terminal.service.purchase import PurchaseStream
from terminal.service.settlement import Settlement, increase, settle

__all__ = [
    "Enrolled",
    "Enrolling",
    "EnrolmentFailed",
    "Link",
    "PurchaseStream",
    "ServiceLost",
    "Settlement",
    "enrol",
    "increase",
    "settle",
]
