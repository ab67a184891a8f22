"""What is saved of a bottleneck adapter beside its weights, in ``adapter_config.json``."""

from dataclasses import dataclass, field
from typing import Any, get_args

from peft import PeftConfig

from adapterhub_lite.errors import RecipeError
from adapterhub_lite_bottleneck.styles import STYLES, NonLinearity, Reads, Style, bottleneck_width


@dataclass
class BottleneckConfig(PeftConfig):
    """Configures a :class:`~adapterhub_lite_bottleneck.tuner.BottleneckModel`.

    ``target_modules`` is a regular expression for whole names or a list of endings; None takes
    what ``style`` adapts in the base's architecture. Raises RecipeError for impossible values.
    Papers: https://arxiv.org/abs/1902.00751 (houlsby), https://arxiv.org/abs/2005.00247
    (pfeiffer), https://arxiv.org/abs/2110.04366 (parallel).
    """

    style: Style = field(
        default="pfeiffer", metadata={"help": "Which sub-layers are adapted, and how."}
    )
    reads: Reads | None = field(
        default=None, metadata={"help": "What the adapter reads; None: the style's own."}
    )
    reduction_factor: float = field(
        default=16.0, metadata={"help": "Hidden size over bottleneck width."}
    )
    bottleneck_size: int | None = field(
        default=None, metadata={"help": "Bottleneck width, instead of reduction_factor."}
    )
    non_linearity: NonLinearity | None = field(
        default=None, metadata={"help": "Activation; None: the style's own."}
    )
    scaling: float | None = field(
        default=None, metadata={"help": "Factor of the adapter's output; None: the style's own."}
    )
    dropout: float = field(
        default=0.0, metadata={"help": "Dropout probability inside the bottleneck."}
    )
    target_modules: list[str] | set[str] | str | None = field(
        default=None, metadata={"help": "Output projections."}
    )
    exclude_modules: list[str] | set[str] | str | None = field(
        default=None, metadata={"help": "Modules to leave out."}
    )
    layers_to_transform: list[int] | int | None = field(
        default=None, metadata={"help": "Numbers of the adapted layers."}
    )
    layers_pattern: list[str] | str | None = field(
        default=None, metadata={"help": "Name of the layers' list."}
    )
    modules_to_save: list[str] | None = field(
        default=None, metadata={"help": "Modules trained and saved whole."}
    )

    def __post_init__(self) -> None:
        """Fill in the style's defaults, and refuse what cannot be."""
        super().__post_init__()  # type: ignore[no-untyped-call]
        self.peft_type = "BOTTLENECK"
        if self.style not in STYLES:
            raise RecipeError(
                f"{self.style!r} is no style of a bottleneck adapter",
                field="style",
                hint=f"known: {', '.join(STYLES)}",
            )
        if self.reads is None:
            self.reads = STYLES[self.style].reads[0]
        if self.non_linearity is None:
            self.non_linearity = STYLES[self.style].non_linearity
        if self.scaling is None:
            self.scaling = STYLES[self.style].scaling
        self._check()
        self.target_modules = _in_order(self.target_modules)
        self.exclude_modules = _in_order(self.exclude_modules)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON, the same in every process."""
        options: dict[str, Any] = super().to_dict()
        # PEFT makes a set of a long list of modules, and a set of strings has no lasting order
        return {key: _in_order(value) for key, value in options.items()}

    def _check(self) -> None:
        if self.reads not in STYLES[self.style].reads:
            raise RecipeError(
                f"an adapter of the style {self.style} does not read the {self.reads}",
                field="reads",
                hint=f"it reads one of {', '.join(STYLES[self.style].reads)}",
            )
        if self.non_linearity not in get_args(NonLinearity):
            raise RecipeError(
                f"{self.non_linearity!r} is no known non-linearity",
                field="non_linearity",
                hint=f"known: {', '.join(get_args(NonLinearity))}",
            )
        if not self.reduction_factor > 0:
            raise RecipeError("the reduction factor has to be above 0", field="reduction_factor")
        if self.bottleneck_size is not None and self.bottleneck_size < 1:
            raise RecipeError("a bottleneck has at least 1 unit", field="bottleneck_size")
        if not 0 <= self.dropout < 1:
            raise RecipeError("dropout has to be at least 0 and below 1", field="dropout")
        if isinstance(self.target_modules, str) and self.layers_to_transform is not None:
            raise RecipeError(
                "layers_to_transform does nothing when target_modules is a pattern",
                field="layers_to_transform",
                hint="name the layers in the pattern, or make target_modules a list",
            )

    def width(self, hidden_size: int) -> int:
        """Return how many units the bottleneck has in a layer that is ``hidden_size`` wide."""
        return self.bottleneck_size or bottleneck_width(hidden_size, self.reduction_factor)


def _in_order(value: Any) -> Any:
    return sorted(value) if isinstance(value, list | set) else value
