"""What the adapters compute, alone, stacked, switched, by row and averaged."""

import copy
import threading
from typing import Any, get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel
from torch import Tensor

from adapterhub_lite.errors import CapabilityError, UserError
from adapterhub_lite_bottleneck.config import BottleneckConfig
from adapterhub_lite_bottleneck.layer import BottleneckLayer
from adapterhub_lite_bottleneck.styles import NonLinearity, Style
from adapterhub_lite_bottleneck.tuner import register

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")


def by_hand(model: PeftModel, layer: BottleneckLayer, name: str, x: Tensor) -> Tensor:
    """Return ``scaling * up(relu(down(x)))`` from an adapter's tensors."""
    state = {key: value.detach() for key, value in layer.state_dict().items()}
    hidden = x @ state[f"bottleneck_down.{name}.weight"].T + state[f"bottleneck_down.{name}.bias"]
    out = hidden.relu() @ state[f"bottleneck_up.{name}.weight"].T
    scaling = model.peft_config[name].scaling
    assert scaling is not None
    change: Tensor = scaling * (out + state[f"bottleneck_up.{name}.bias"])
    return change


def last_bert_layer(model: PeftModel) -> Any:
    return model.get_base_model().encoder.layer[-1]


def bert_layer_by_hand(model: PeftModel, attended: Tensor, style: Style, *names: str) -> Tensor:
    """Return a BERT layer's output from its attention's, with adapters of the feed-forward."""
    layer = last_bert_layer(model)
    tuner = layer.output.dense
    y = tuner.base_layer(layer.intermediate(attended))
    for name in names:
        y = y + by_hand(model, tuner, name, attended if style == "parallel" else y)
    out: Tensor = layer.output.LayerNorm(y + attended)
    return out


@pytest.mark.parametrize("style", ["pfeiffer", "parallel"])
def test_a_layer_computes_what_the_paper_says(style: Style, adapted: Any, add: Any) -> None:
    model = add(adapted(style=style, non_linearity="relu"), "second", style=style, scaling=0.5)
    attended = torch.randn(3, 5, 32)
    layer = last_bert_layer(model)
    with torch.no_grad():
        for names in (["default"], ["second"], ["default", "second"], ["second", "default"]):
            model.base_model.set_adapter(names)
            expected = bert_layer_by_hand(model, attended, style, *names)
            assert torch.allclose(layer.feed_forward_chunk(attended), expected, atol=1e-5)


def test_a_parallel_adapter_beside_a_gated_feed_forward(adapted: Any) -> None:
    model = adapted("llama", style="parallel")
    mlp = model.get_base_model().layers[0].mlp
    x = torch.randn(2, 3, 32)
    with torch.no_grad():
        gated = mlp.act_fn(mlp.gate_proj(x)) * mlp.up_proj(x)
        expected = mlp.down_proj.base_layer(gated) + by_hand(model, mlp.down_proj, "default", x)
        assert torch.allclose(mlp(x), expected, atol=1e-5)
    assert model.peft_config["default"].scaling == 4.0


def test_what_reads_the_sub_layer_reads_behind_the_residual_and_norm(
    adapted: Any, add: Any
) -> None:
    model = add(adapted(reads="sublayer"), "second", reads="sublayer", scaling=0.5)
    layer = last_bert_layer(model)
    tuner, norm = layer.output.dense, layer.output.LayerNorm
    attended = torch.randn(3, 5, 32)
    model.base_model.set_adapter(["default", "second"])
    with torch.no_grad():
        total = tuner.base_layer(layer.intermediate(attended)) + attended
        for name in ("default", "second"):
            total = total + by_hand(model, tuner, name, norm(total))
        assert torch.allclose(layer.feed_forward_chunk(attended), norm(total), atol=1e-5)


def test_a_parallel_adapter_can_read_the_residual_stream(adapted: Any) -> None:
    model = adapted("llama", style="parallel", reads="residual")
    layer = model.get_base_model().layers[0]
    stream = torch.randn(2, 3, 32)
    with torch.no_grad():
        x = layer.post_attention_layernorm(stream)
        gated = layer.mlp.act_fn(layer.mlp.gate_proj(x)) * layer.mlp.up_proj(x)
        change = by_hand(model, layer.mlp.down_proj, "default", stream)
        expected = layer.mlp.down_proj.base_layer(gated) + change
        layer.post_attention_layernorm(stream)
        assert torch.allclose(layer.mlp(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("model_type", "config", "message"),
    [
        ("bert", {"style": "parallel", "reads": "projection"}, "does not read the projection"),
        ("bert", {"style": "houlsby", "reads": "residual"}, "does not read the residual"),
        ("opt", {"reads": "sublayer"}, "of a 'opt' model begins is not known"),
    ],
)
def test_what_cannot_be_read_is_refused(
    model_type: str, config: dict[str, Any], message: str, adapted: Any
) -> None:
    with pytest.raises(UserError, match=message):
        adapted(model_type, **config)


def test_styles_can_be_stacked_on_each_other(adapted: Any, add: Any) -> None:
    model = add(adapted(style="parallel"), "second", style="pfeiffer")
    attended = torch.randn(3, 5, 32)
    layer = last_bert_layer(model)
    model.base_model.set_adapter(["default", "second"])
    with torch.no_grad():
        y = layer.output.dense.base_layer(layer.intermediate(attended))
        y = y + by_hand(model, layer.output.dense, "default", attended)
        y = y + by_hand(model, layer.output.dense, "second", y)
        expected = layer.output.LayerNorm(y + attended)
        assert torch.allclose(layer.feed_forward_chunk(attended), expected, atol=1e-5)


def test_switching_forth_and_back(adapted: Any, add: Any, run: Any) -> None:
    model = adapted(style="houlsby")
    first = run(model)
    add(model, "second", style="pfeiffer")
    assert torch.equal(run(model), first)
    model.set_adapter("second")
    assert not torch.equal(run(model), first)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning
    assert all(".second." in name for name in learning)
    model.set_adapter("default")
    assert torch.equal(run(model), first)
    model.delete_adapter("second")
    assert torch.equal(run(model), first)


@pytest.mark.parametrize("style", get_args(Style))
@pytest.mark.parametrize("model_type", ["bert", "gpt2", "t5"])
def test_a_mixed_batch_equals_its_rows_one_by_one(
    model_type: str, style: Style, adapted: Any, add: Any, run: Any
) -> None:
    model = add(adapted(model_type, style=style), "second", style="pfeiffer", reads="sublayer")
    names = ["second", "default", "__base__", "second", "default", "default", "__base__", "second"]
    mixed = run(model, adapter_names=names)
    for row, name in enumerate(names):
        if name == "__base__":
            with model.disable_adapter():
                alone = run(model, [row])
        else:
            model.set_adapter(name)
            alone = run(model, [row])
        assert (mixed[row] - alone[0]).abs().max() < 1e-5 * max(1, alone.abs().max())


def test_a_mixed_batch_is_refused_where_it_would_be_wrong(adapted: Any, add: Any, run: Any) -> None:
    model = add(adapted(), "second")
    with pytest.raises(CapabilityError, match="2 adapter names for 8 rows"):
        run(model, adapter_names=["second", "default"])
    with pytest.raises(CapabilityError, match="no adapter is called 'third'"):
        run(model, adapter_names=["third"] * 8)
    plain = run(model)
    with pytest.raises(CapabilityError, match="for inference"):
        run(model.train(), adapter_names=["second"] * 8)
    assert torch.equal(run(model.eval()), plain)


def test_a_mixed_batch_is_refused_where_a_saved_module_would_be_passed_by(
    adapted: Any, add: Any, run: Any
) -> None:
    model = add(adapted(), "second", modules_to_save=["pooler"])
    with pytest.raises(CapabilityError, match="no copy of a module"):
        run(model, adapter_names=["second"] * 8)


@pytest.mark.parametrize("mixed", [False, True])
def test_threads_do_not_take_each_others_rows(
    mixed: bool, adapted: Any, add: Any, run: Any
) -> None:
    model = add(adapted(style="parallel"), "second", style="parallel")
    names = ["default", "second"] if mixed else ["default", "default"]
    options = [{"adapter_names": [name] * 4} if mixed else {} for name in names]
    rows = [slice(0, 4), slice(4, 8)]
    expected = [run(model, part, **option) for part, option in zip(rows, options, strict=True)]
    wrong: list[int] = []

    def work(which: int) -> None:
        for _ in range(30):
            if not torch.equal(run(model, rows[which], **options[which]), expected[which]):
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("style", get_args(Style))
def test_merging_is_refused_and_harms_nothing(style: Style, adapted: Any, run: Any) -> None:
    model = adapted(style=style)
    before = run(model)
    for attempt in (
        model.merge_adapter,
        model.merge_and_unload,
        model.unmerge_adapter,
        last_bert_layer(model).output.dense.merge,
        last_bert_layer(model).output.dense.unmerge,
    ):
        with pytest.raises(CapabilityError, match="cannot be merged"):
            attempt()
    assert torch.equal(run(model), before)


def test_unloading_leaves_the_base_without_hooks(adapted: Any, model_of: Any, run: Any) -> None:
    base = adapted(style="parallel").unload()
    assert base.state_dict().keys() == model_of().state_dict().keys()
    assert not any(module._forward_pre_hooks for module in base.modules())
    assert torch.equal(run(base), run(model_of()))


def test_a_copied_model_is_independent(adapted: Any, run: Any) -> None:
    model = adapted(style="parallel")
    before = run(model)
    twin = copy.deepcopy(model)
    assert torch.equal(run(twin), before)
    for name, parameter in twin.named_parameters():
        if ".bottleneck_" in name:
            parameter.data.zero_()
    assert torch.equal(run(model), before)
    assert not torch.equal(run(twin), before)


@pytest.mark.parametrize("style", get_args(Style))
def test_adapters_of_a_half_precision_base_learn_in_full(
    style: Style, model_of: Any, run: Any
) -> None:
    from peft import get_peft_model

    base = model_of(dtype=torch.bfloat16)
    expected = run(base)
    model = get_peft_model(base, BottleneckConfig(style=style)).eval()
    assert torch.equal(run(model), expected)
    assert run(model).dtype == torch.bfloat16
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16):
        assert run(model).isfinite().all()


def test_registering_again_changes_nothing_and_a_stranger_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
    from peft.utils import PeftType

    register()
    assert list(PeftType).count(PeftType("BOTTLENECK")) == 1
    assert PeftType.__members__["BOTTLENECK"].value == "BOTTLENECK"
    monkeypatch.setitem(PEFT_TYPE_TO_CONFIG_MAPPING, PeftType("BOTTLENECK"), LoraConfig)
    with pytest.raises(CapabilityError, match="another than ours"):
        register()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    weights=st.lists(st.floats(-2, 2), min_size=1, max_size=3),
    style=st.sampled_from(get_args(Style)),
    non_linearity=st.sampled_from(get_args(NonLinearity)),
)
def test_an_average_is_one_wider_bottleneck(
    weights: list[float], style: Style, non_linearity: NonLinearity, adapted: Any, add: Any
) -> None:
    common = {"style": style, "non_linearity": non_linearity}
    model = adapted(**common)
    names = ["default", "other", "third one"][: len(weights)]
    for number, name in enumerate(names[1:], 2):
        add(model, name, **common, bottleneck_size=number, scaling=float(number))
    model.base_model.add_weighted_adapter(names, weights, "average")
    layer = last_bert_layer(model).output.dense
    y, source = torch.randn(2, 4, 5, 32)
    with torch.no_grad():
        heard = {"input": source}
        changes = [layer._change(name, y, heard) for name in names]
        expected = sum(w * change for w, change in zip(weights, changes, strict=True))
        average = layer._change("average", y, heard)
    assert torch.allclose(average, torch.as_tensor(expected), atol=1e-3, rtol=1e-4)
    assert layer.projections("average")[0].out_features == sum((2, 2, 3)[: len(weights)])


def test_an_average_reloads(adapted: Any, add: Any, run: Any, model_of: Any, tmp_path: Any) -> None:
    model = add(adapted(), "second")
    model.base_model.add_weighted_adapter(["default", "second"], [0.25, 0.75], "average")
    model.set_adapter("average")
    model.save_pretrained(tmp_path, selected_adapters=["average"])
    again = PeftModel.from_pretrained(model_of(), tmp_path / "average").eval()
    assert torch.equal(run(again), run(model))


@pytest.mark.parametrize(
    ("adapters", "weights", "message"),
    [
        (["default", "second"], [1.0], "a finite weight for each"),
        (["default"], [float("nan")], "a finite weight for each"),
        ([], [], "a finite weight for each"),
        (["default", "fourth"], [1.0, 1.0], "no adapter is called 'fourth'"),
        (["default", "second"], [1.0, 1.0], "differ in style"),
    ],
)
def test_averages_that_do_not_exist(
    adapters: list[str], weights: list[float], message: str, adapted: Any, add: Any
) -> None:
    model = add(adapted(), "second", style="houlsby")
    with pytest.raises(CapabilityError, match=message):
        model.base_model.add_weighted_adapter(adapters, weights, "average")
    assert "average" not in model.peft_config
    with pytest.raises(CapabilityError, match="already an adapter"):
        model.base_model.add_weighted_adapter(["default"], [1.0], "second")
