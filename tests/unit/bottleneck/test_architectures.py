"""Every style on every architecture: no change at first, all of it saved, only it trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from adapterhub_lite_bottleneck.styles import Style

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")

ARCHITECTURES = ("bert", "roberta", "distilbert", "gpt2", "llama", "t5", "albert", "modernbert")
every_style = pytest.mark.parametrize("style", get_args(Style))
every_architecture = pytest.mark.parametrize("model_type", ARCHITECTURES)


@every_style
@every_architecture
def test_a_fresh_adapter_changes_nothing(
    model_type: str, style: Style, model_of: Any, adapted: Any, run: Any
) -> None:
    model = adapted(model_type, style=style, trained=False)
    assert torch.equal(run(model), run(model_of(model_type)))


@every_style
@every_architecture
def test_a_saved_adapter_reloads_to_the_same_output(
    model_type: str, style: Style, model_of: Any, adapted: Any, run: Any, tmp_path: Path
) -> None:
    model = adapted(model_type, style=style)
    model.save_pretrained(tmp_path / "saved")
    again = PeftModel.from_pretrained(model_of(model_type), tmp_path / "saved").eval()
    assert torch.equal(run(again), run(model))
    assert not torch.equal(run(again), run(model_of(model_type)))
    tensors = load_file(tmp_path / "saved" / "adapter_model.safetensors")
    endings = ("down.weight", "down.bias", "up.weight", "up.bias")
    assert all(name.endswith(tuple(f".bottleneck_{end}" for end in endings)) for name in tensors)
    assert sum(tensor.numel() for tensor in tensors.values()) == sum(
        parameter.numel() for parameter in model.parameters() if parameter.requires_grad
    )


@every_style
@every_architecture
def test_training_moves_the_adapter_and_nothing_else(
    model_type: str, style: Style, adapted: Any, run: Any, inputs: Callable[..., Any]
) -> None:
    model = adapted(model_type, style=style, non_linearity="tanh")  # no unit of it is ever dead
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {name for name in before if ".bottleneck_" in name}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        hidden = model(**inputs(model))[0]
        (hidden * torch.linspace(-1, 1, hidden.shape[-1])).sum().backward()
        optimizer.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == learning
    with model.disable_adapter():
        frozen = run(model)
    for name, parameter in model.named_parameters():
        if name not in learning:
            assert parameter.grad is None
    assert torch.equal(frozen, run(model.unload()))


@every_style
@every_architecture
def test_disabling_gives_the_base_and_enabling_the_adapter(
    model_type: str, style: Style, model_of: Any, adapted: Any, run: Any
) -> None:
    model = adapted(model_type, style=style)
    with_adapter = run(model)
    with model.disable_adapter():
        assert torch.equal(run(model), run(model_of(model_type)))
    assert torch.equal(run(model), with_adapter)


@pytest.mark.parametrize("use_reentrant", [True, False])
@every_style
@pytest.mark.parametrize("model_type", ["bert", "llama", "t5"])
def test_checkpointed_gradients_are_the_same(
    model_type: str, style: Style, use_reentrant: bool, adapted: Any, inputs: Callable[..., Any]
) -> None:
    def gradients(checkpointed: bool) -> dict[str, torch.Tensor]:
        model = adapted(model_type, style=style).train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout") and isinstance(module.dropout, float):
                module.dropout = 0.0
        if checkpointed:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
        hidden = model(**inputs(model), use_cache=False)[0]
        (hidden * torch.linspace(-1, 1, hidden.shape[-1])).sum().backward()
        assert all(not getattr(module, "_sublayer_inputs", None) for module in model.modules()), (
            "an input was left behind, and with it the graph that made it"
        )
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    plain, recomputed = gradients(False), gradients(True)
    assert plain
    assert recomputed.keys() == plain.keys()
    for name, gradient in plain.items():
        assert torch.allclose(recomputed[name], gradient, rtol=1e-4, atol=1e-5), name
