"""What the routes about models say of a version."""

from datetime import datetime

from adapterhub_lite.serving.responses import (
    Family,
    MetricFigure,
    Relative,
    ServedModel,
    ServedModels,
)
from adapterhub_lite.serving.served import Served
from adapterhub_lite_registry import LineageNode


def all_models(served: Served) -> ServedModels:
    """Return what may be asked for."""
    return ServedModels(data=[one_model(served, name) for name in served.names()])


def one_model(served: Served, model: str) -> ServedModel:
    """Describe the version that ``model`` means now; raises as :meth:`Served.find`."""
    version = served.version(model)
    manifest = version.manifest
    return ServedModel(
        id=model,
        created=int(datetime.fromisoformat(manifest.created_at).timestamp()),
        version=str(version),
        versions=served.versions(model),
        aliases=list(version.aliases),
        task=manifest.task,
        kind=manifest.kind,
        base=manifest.base.ref if manifest.base else None,
        method=manifest.method.name if manifest.method else None,
        labels=list(manifest.signature.labels) if manifest.signature else [],
        description=manifest.description,
        metrics=[
            MetricFigure(name=one.name, value=one.value, split=one.split, interval=one.ci)
            for one in manifest.metrics
        ],
    )


def family(served: Served, model: str) -> Family:
    """Return a version's relatives; raises as :meth:`Served.find`."""
    found = served.lineage(model)
    return Family(
        version=str(found.version),
        parents=[_relative(node) for node in found.parents],
        children=[_relative(node) for node in found.children],
    )


def _relative(node: LineageNode) -> Relative:
    return Relative(
        digest=node.digest,
        version=node.ref,
        kind=node.kind,
        role=node.role,
        relatives=[_relative(below) for below in node.nodes],
    )
