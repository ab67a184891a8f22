"""What a person reads of a run: the HTML report and the model card."""

from adapterhub_lite.reports.card import write_card
from adapterhub_lite.reports.html import write_report

__all__ = ["write_card", "write_report"]
