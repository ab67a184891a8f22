"""Versions leave for other tools, and come from them."""

from adapterhub_lite.deployment.choices import ImportChoices
from adapterhub_lite.deployment.deploying import (
    Deployment,
    deploy_version,
    verify_deployment,
)
from adapterhub_lite.deployment.exporting import Exported, export_version
from adapterhub_lite.deployment.importing import Imported, import_folder

__all__ = [
    "Deployment",
    "Exported",
    "ImportChoices",
    "Imported",
    "deploy_version",
    "export_version",
    "import_folder",
    "verify_deployment",
]
