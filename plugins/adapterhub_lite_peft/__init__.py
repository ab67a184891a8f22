"""Every parameter-efficient method of Hugging Face PEFT, by one generated path."""

from collections.abc import Iterator

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import MethodSpec
from adapterhub_lite_peft.params import params_model
from adapterhub_lite_peft.table import ENTRIES


@hookimpl
def adapterhub_methods() -> Iterator[MethodSpec]:
    """Offer one method for each of PEFT's configs."""
    for peft_type, entry in ENTRIES.items():
        yield MethodSpec(
            name=entry.name,
            summary=entry.summary,
            implementation="adapterhub_lite_peft.method:PeftMethod",
            paper=entry.paper,
            params=params_model(peft_type),
            families=entry.families,
            heads=entry.heads,
            capabilities=entry.capabilities,
            learning_rate=entry.learning_rate,
        )
