"""Methods with one fault each: what is wrong, and which check has to say so."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite_peft.method import PeftMethod
from tests.conformance.broken.entries import Broken
from tests.conformance.broken.method_faults import (
    BakesRoughly,
    BakesUnasked,
    CountsPasses,
    DrawsElsewhere,
    ForgetsToFreeze,
    FreezesTheHead,
    FusesBackwards,
    GoesUphill,
    LateRefusal,
    LoadsAnything,
    LosesScale,
    Miscounts,
    NamesThePlace,
    NeedsFloats,
    OneForAll,
    Pickles,
    RefusesAll,
    SavesTheBase,
    SplitsNothing,
    StacksOne,
    StartsElsewhere,
    StaysOn,
    TrainsTheBase,
    WeighsByPlace,
    WritesToTheBase,
)


def _broken(
    fault: str,
    name: str,
    found: type,
    check: str,
    says: str,
    *also: str,
    of: str = "lora",
    without: Sequence[str] = (),
    more: Sequence[str] = (),
) -> Broken:
    sound = get_catalogue(first_party_only=True).method(of)
    spec = replace(
        sound,
        name=name,
        summary="A method with one fault.",
        implementation=f"{found.__module__}:{found.__name__}",
        capabilities=(sound.capabilities - set(without)) | set(more),  # type: ignore[arg-type]
    )
    return Broken(fault=fault, kind="method", spec=spec, check=check, says=says, also=also)


BROKEN: Final = (
    _broken(
        "check() takes a base that attach() refuses",
        "late-refusal",
        LateRefusal,
        "check_attaches",
        "attach() raises CapabilityError",
    ),
    _broken(
        "check() refuses a family that the spec declares",
        "refuses-all",
        RefusesAll,
        "check_refusals_are_told_before",
        "declares encoder",
    ),
    _broken(
        "count_trainable() forgets the head",
        "miscounts",
        Miscounts,
        "check_counts_what_learns",
        "count_trainable() says",
    ),
    _broken(
        "an embedding keeps its gradient",
        "forgets-to-freeze",
        ForgetsToFreeze,
        "check_exactly_the_declared_learn",
        "requires a gradient",
        "check_counts_what_learns",
        without=["mixed-batch"],
    ),
    _broken(
        "the head's new layers do not learn",
        "freezes-the-head",
        FreezesTheHead,
        "check_the_head_learns",
        "nothing of the new layer",
        "check_files_hold_nothing_of_the_base",
    ),
    _broken(
        "attach() writes to a weight of the base",
        "writes-to-the-base",
        WritesToTheBase,
        "check_attaching_keeps_the_base",
        "is not what it was",
    ),
    _broken(
        "each step writes to a weight of the base",
        "trains-the-base",
        TrainsTheBase,
        "check_training_keeps_the_base",
        "changed, and is not named trainable",
    ),
    _broken(
        "gradients point the wrong way",
        "goes-uphill",
        GoesUphill,
        "check_loss_falls",
        "the loss was",
        without=["quantised-base"],
    ),
    _broken(
        "weights are drawn from the operating system",
        "draws-elsewhere",
        DrawsElsewhere,
        "check_same_seed_same_weights",
        "differs the second time",
        without=["gradient-checkpointing"],
    ),
    _broken(
        "load() loses a scale",
        "loses-scale",
        LosesScale,
        "check_saves_and_loads",
        "the reloaded model's answers differ",
        "check_trains_on_quantised",
    ),
    _broken("save() writes a pickle", "pickles", Pickles, "check_files_are_plain", "'names.bin'"),
    _broken(
        "save() writes where the base lies",
        "names-the-place",
        NamesThePlace,
        "check_files_are_plain",
        "names a folder of this machine",
    ),
    _broken(
        "save() writes a tensor of the base",
        "saves-the-base",
        SavesTheBase,
        "check_files_hold_nothing_of_the_base",
        "'words' is its",
    ),
    _broken(
        "load() passes missing tensors over",
        "loads-anything",
        LoadsAnything,
        "check_incomplete_files_are_refused",
        "without a word",
    ),
    _broken(
        "it declares identity-at-init, and starts with a change",
        "starts-elsewhere",
        StartsElsewhere,
        "check_starts_as_the_base",
        "before the first step",
    ),
    _broken(
        "bake() rounds weights",
        "bakes-roughly",
        BakesRoughly,
        "check_bake_is_exact",
        "the baked model's answers differ",
    ),
    _broken(
        "bake() works, and the spec does not declare it",
        "bakes-unasked",
        BakesUnasked,
        "check_bake_is_refused",
        "does not declare bake",
        without=["bake"],
    ),
    _broken(
        "a layer counts its passes, and checkpointing runs it twice",
        "counts-passes",
        CountsPasses,
        "check_checkpointing_gives_the_same_gradients",
        "the gradient of",
        without=["mixed-batch"],
    ),
    _broken(
        "it declares quantised-base, and refuses each",
        "needs-floats",
        NeedsFloats,
        "check_trains_on_quantised",
        "refused on every quantised base",
    ),
    _broken(
        "it declares disable, and stays on",
        "stays-on",
        StaysOn,
        "check_can_be_switched_off",
        "differ from the base's",
    ),
    _broken(
        "a stack holds its first adapter alone",
        "stacks-one",
        StacksOne,
        "check_several_can_be_active",
        "a second adapter in the stack changes nothing",
    ),
    _broken(
        "an average goes by the order of its adapters",
        "weighs-by-place",
        WeighsByPlace,
        "check_averages_are_exact",
        "in another order",
    ),
    _broken(
        "a split gives every token to its first adapter",
        "splits-nothing",
        SplitsNothing,
        "check_tokens_can_use_different_adapters",
        "the second adapter, which owns all tokens, answers otherwise than alone",
    ),
    _broken(
        "a mixture gets the adapters in another order",
        "fuses-backwards",
        FusesBackwards,
        "check_can_be_fused",
        "all weight on the first adapter does not answer as that one",
    ),
    _broken(
        "it declares mixed-batch, and adapter_names are dropped",
        "drops-names",
        PeftMethod,
        "check_rows_can_use_different_adapters",
        "rows with different adapters",
        of="ia3",
        more=["mixed-batch"],
    ),
    _broken(
        "it declares shared-pass, and all rows get one adapter",
        "one-for-all",
        OneForAll,
        "check_rows_share_a_pass",
        "rows of the adapters [0, 1, 0, 1, 0, 1] differ",
    ),
)
