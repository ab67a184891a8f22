"""The tuner that puts bottleneck adapters into a model, and its registration in PEFT."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTuner
from peft.utils import PeftType, register_peft_method
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn

from adapterhub_lite.errors import CapabilityError
from adapterhub_lite_bottleneck.average import add_average
from adapterhub_lite_bottleneck.config import BottleneckConfig
from adapterhub_lite_bottleneck.layer import (
    BASE_ROW,
    BottleneckLayer,
    Source,
    row_adapters,
    unmergeable,
)
from adapterhub_lite_bottleneck.surroundings import surroundings
from adapterhub_lite_bottleneck.targets import (
    ending_pattern,
    first_projection,
    linear_shapes,
    output_projections,
    target_pattern,
)

NAME: Final = "bottleneck"


class BottleneckModel(BaseTuner):
    """A model with bottleneck adapters, as :func:`peft.get_peft_model` makes it.

    Without ``target_modules`` the config's style chooses them; raises CapabilityError for an
    architecture whose output projections cannot be told apart.
    """

    prefix: str = "bottleneck_"
    tuner_layer_cls = BottleneckLayer

    def _prepare_adapter_config(
        self, peft_config: BottleneckConfig, model_config: dict[str, Any]
    ) -> BottleneckConfig:
        layers = peft_config.layers_to_transform
        numbers = [layers] if isinstance(layers, int) else layers
        # a pattern says which layers; PEFT does not look at numbers beside it
        peft_config.layers_to_transform = None
        named = peft_config.target_modules
        if named is not None:
            if numbers is not None:
                peft_config.target_modules = ending_pattern(named, numbers)
            return peft_config
        sizes = (model_config.get(key) for key in ("hidden_size", "d_model", "n_embd", "dim"))
        projections = output_projections(
            str(model_config.get("model_type", "")),
            linear_shapes(self.model),
            next((size for size in sizes if isinstance(size, int)), 0),
        )
        peft_config.target_modules = target_pattern(projections, peft_config.style, numbers)
        return peft_config

    def _create_and_replace(
        self,
        peft_config: BottleneckConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        source = self._source(peft_config, current_key)
        if isinstance(target, BottleneckLayer):
            target.update_layer(adapter_name, peft_config, source)
            return
        layer = BottleneckLayer(target, current_key)
        layer.set_adapter(self.active_adapters)
        layer.update_layer(adapter_name, peft_config, source)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def _source(self, config: BottleneckConfig, output: str) -> Source:
        """Return what an adapter at the projection ``output`` reads."""
        assert config.reads is not None, "a config fills in its style's"
        if config.reads == "projection":
            return Source(config.reads)
        modules = dict(self.model.named_modules())
        if config.reads == "input":
            return Source(config.reads, modules[first_projection(output, modules)])
        model_type = str(self.get_model_config(self.model).get("model_type", ""))
        around = surroundings(model_type, output, modules)
        norm = modules[around.norm] if config.reads == "sublayer" and around.norm else None
        return Source(config.reads, modules[around.residual], norm)

    def _check_merge_allowed(self) -> None:
        raise unmergeable()

    def unmerge_adapter(self) -> None:
        """Raise CapabilityError: nothing was merged."""
        raise unmergeable()

    def add_weighted_adapter(
        self, adapters: Sequence[str], weights: Sequence[float], adapter_name: str
    ) -> None:
        """Add the weighted average of ``adapters``, exactly: one adapter, as wide as all of them.

        Raises CapabilityError when they are not alike.
        """
        add_average(self, adapters, weights, adapter_name)

    @contextlib.contextmanager
    def _enable_peft_forward_hooks(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """Let each row take the adapter that ``adapter_names`` names for it.

        PEFT calls this around every forward pass. Without it, PEFT drops ``adapter_names`` and all
        rows take the active adapter, without a word.
        """
        names = kwargs.get("adapter_names")
        if names is None:
            yield
            return
        wrappers = self._check_rows(names)
        hook = partial(_pass_names, names=names)
        handles = [w.register_forward_pre_hook(hook, with_kwargs=True) for w in wrappers]
        token = row_adapters.set(tuple(names))
        try:
            yield
        finally:
            row_adapters.reset(token)
            for handle in handles:
                handle.remove()

    def _check_rows(self, names: Sequence[str]) -> list[AuxiliaryTrainingWrapper]:
        if self.training:
            raise CapabilityError(
                "a mixed batch is for inference: each row takes another adapter",
                hint="call eval() first, or train one adapter at a time",
            )
        wanted = set(names) - {BASE_ROW}
        if unknown := sorted(wanted - set(self.peft_config)):
            raise CapabilityError(
                f"no adapter is called {unknown[0]!r}",
                hint=f"loaded: {', '.join(sorted(self.peft_config))}",
            )
        wrappers = [m for m in self.model.modules() if isinstance(m, AuxiliaryTrainingWrapper)]
        for wrapper in wrappers:
            # PEFT's wrapper looks at the active adapters first, and passes all rows through its
            # original module when one of those has no copy of it
            if wanted & wrapper._adapters and set(self.active_adapters) - wrapper._adapters:
                raise CapabilityError(
                    "the active adapter has no copy of a module that a row's adapter has",
                    hint=f"make one of these active: {', '.join(sorted(wrapper._adapters))}",
                )
        return wrappers


def _pass_names(
    module: nn.Module, args: Any, kwargs: dict[str, Any], names: Sequence[str]
) -> tuple[Any, dict[str, Any]]:
    return args, {**kwargs, "adapter_names": names}


def register() -> None:
    """Make PEFT know the method, so that ``PeftModel.from_pretrained`` loads it; once is enough.

    Raises CapabilityError when PEFT has another method of this name.
    """
    peft_type = NAME.upper()
    if PEFT_TYPE_TO_CONFIG_MAPPING.get(_member(peft_type)) is BottleneckConfig:
        return
    if peft_type in PEFT_TYPE_TO_CONFIG_MAPPING:
        raise CapabilityError(
            f"PEFT already has a method called {NAME!r}, another than ours",
            hint="install a version of peft without it",
        )
    register_peft_method(name=NAME, config_cls=BottleneckConfig, model_cls=BottleneckModel)


def _member(name: str) -> PeftType:
    """Return the enum's member called ``name``, adding it when it has none.

    ``register_peft_method`` takes only names that the enum has, and an enum with members can be
    neither extended nor subclassed: what Enum's own metaclass keeps is written by hand.
    """
    if name not in PeftType.__members__:
        member = str.__new__(PeftType, name)
        member._name_ = name
        member._value_ = name
        type.__setattr__(PeftType, name, member)
        PeftType._member_names_.append(name)
        PeftType._member_map_[name] = member
        PeftType._value2member_map_[name] = member
    return PeftType[name]


register()
