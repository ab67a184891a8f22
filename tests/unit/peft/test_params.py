"""The generated table is PEFT's, every method is reachable, and listing them is cheap."""

import json
import subprocess
import sys

import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from pydantic import ValidationError

from adapterhub_lite_peft.generate import FILE, describe_all
from adapterhub_lite_peft.params import LARGEST
from adapterhub_lite_peft.table import ENTRIES
from tests.unit.peft.conftest import SPECS


def test_the_table_is_what_the_installed_peft_says() -> None:
    written, here = json.loads(FILE.read_text(encoding="utf-8")), describe_all()
    if written["peft"] != here["peft"]:
        pytest.skip(f"the table is PEFT {written['peft']}'s")
    assert written == here, "run: python -m adapterhub_lite_peft.generate"


def test_every_config_of_peft_is_a_method() -> None:
    theirs = {
        str(getattr(kind, "value", kind))
        for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()
        if config.__module__.startswith("peft.")
    }
    assert theirs == ENTRIES.keys()
    assert len(SPECS) == len(ENTRIES)
    wanted = "lora adalora ia3 prefix prompt p-tuning vera oft loha lokr trainable-tokens"
    assert set(wanted.split()) < SPECS.keys()


def test_listing_the_methods_imports_nothing_heavy() -> None:
    program = (
        "import sys, adapterhub_lite_peft as plugin\n"
        "[spec.params.model_json_schema() for spec in plugin.adapterhub_methods()]\n"
        "print({'torch', 'peft', 'transformers', 'numpy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.parametrize("name", sorted(SPECS))
def test_params_have_help_and_refuse_the_unknown(name: str) -> None:
    spec = SPECS[name]
    schema = spec.params.model_json_schema()
    assert all(field["description"] for field in schema["properties"].values())
    assert schema["additionalProperties"] is False
    assert spec.params().model_dump().keys() == schema["properties"].keys()
    with pytest.raises(ValidationError, match="Extra inputs"):
        spec.params(shiny=1)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_what_the_pipeline_decides_cannot_be_set(name: str) -> None:
    owned = {"task_type", "peft_type", "inference_mode", "base_model_name_or_path", "revision"}
    owned |= {"auto_mapping", "megatron_core", "tokenizer_name_or_path", "token_dim"}
    assert not owned & SPECS[name].params.model_fields.keys()


def test_counts_have_a_limit_and_seeds_have_none() -> None:
    shira = SPECS["shira"].params
    assert shira(random_seed=2**40).model_dump()["random_seed"] == 2**40
    with pytest.raises(ValidationError):
        shira(r=LARGEST + 1)


def test_values_keep_their_types() -> None:
    lora = SPECS["lora"].params(target_modules="all-linear", init_lora_weights="pissa_niter_16")
    assert lora.model_dump()["target_modules"] == "all-linear"
    for bad in ({"init_lora_weights": "eva"}, {"bias": "some"}, {"r": 1.5}, {"use_dora": "dora"}):
        with pytest.raises(ValidationError):
            SPECS["lora"].params(**bad)
