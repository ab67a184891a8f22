"""What a person reads of a run or a version: the HTML report and the model card."""

from adapterhub_lite.reports.card import write_card
from adapterhub_lite.reports.html import write_report
from adapterhub_lite.reports.registered import version_card

__all__ = ["version_card", "write_card", "write_report"]
