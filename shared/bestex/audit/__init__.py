"""Histories in, anomalies with their witness events out: are the promises kept?

`audit` is a pure function over stored messages; `run_audit` reads them from the bus, `audit_database` from the
recorder's database.
"""

from bestex.audit.auditor import Auditor, audit
from bestex.audit.report import Anomaly, AuditReport, Record, Witness
from bestex.audit.sources import audit_database, run_audit

__all__ = [
    "Anomaly",
    "AuditReport",
    "Auditor",
    "Record",
    "Witness",
    "audit",
    "audit_database",
    "run_audit",
]
