"""my-plugin: names the modules of an architecture, for methods that choose modules by their role.

Here DistilBERT, whose module names PEFT's own tables lack.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import TargetRole

MODEL_TYPE: Final = "distilbert"
MODULES: Final[Mapping[TargetRole, Sequence[str]]] = {
    "query-value": ["q_lin", "v_lin"],
    "key-value": ["k_lin", "v_lin"],
    "value": ["v_lin"],
    "attention-output": ["out_lin"],
    "feed-forward-output": ["layer.*.ffn.lin2"],
    "norm": ["sa_layer_norm", "output_layer_norm"],
}
"""Role → the ends of the modules' names, from a dot on; ``*`` stands for a layer's number."""


@hookimpl
def adapterhub_target_modules(model_type: str, role: TargetRole) -> Sequence[str] | None:
    """Answer for one architecture, and leave all others to others."""
    return MODULES.get(role) if model_type == MODEL_TYPE else None
