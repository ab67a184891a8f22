"""Makes the comparison vectors anew: tiny bases, adapters on them, and what AdapterHub answers.

    python tests/vectors/adapters/regenerate.py PYTHON

PYTHON is the interpreter of an environment that has ``adapters``, which cannot live beside the
current transformers. It runs ``answers.py`` as it is. The bases are kept unless ``--bases`` is
given: a new release of torch may draw other numbers.
"""

import argparse
import shutil
import subprocess
from pathlib import Path
from typing import Any

from adapterhub_lite.testing import write_tiny_model

HERE = Path(__file__).resolve().parent
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SHORT = {"max_position_embeddings": 32}
LARGE = {"initializer_range": 0.3}
"""Weights so large that a difference anywhere is seen in the answers."""
BASES: dict[str, dict[str, Any]] = {
    "bert": {"intermediate_size": 24, **SHORT, **LARGE},
    "roberta": {"intermediate_size": 24, **SHORT, **LARGE},
    "distilbert": {"hidden_dim": 24, **SHORT, **LARGE},
    "gpt2": {"n_inner": 24, **SHORT, **LARGE},
    "llama": {"intermediate_size": 24, "num_key_value_heads": 1, **SHORT, **LARGE},
    "t5": {"d_ff": 24, "d_kv": 8, "num_decoder_layers": 2},
    "bart": {
        **{f"{part}_layers": 2 for part in ("encoder", "decoder")},
        **{f"{part}_attention_heads": 2 for part in ("encoder", "decoder")},
        **{f"{part}_ffn_dim": 24 for part in ("encoder", "decoder")},
        "init_std": 0.3,
        **SHORT,
    },
}


def main() -> None:
    """Write the bases if they are asked for, then the adapters and their answers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", help="the interpreter of an environment with adapters")
    parser.add_argument("--bases", action="store_true", help="make the bases anew, too")
    options = parser.parse_args()
    if options.bases:
        shutil.rmtree(HERE / "bases", ignore_errors=True)
        for model_type, sizes in BASES.items():
            write_tiny_model(HERE / "bases" / model_type, model_type, **SIZES, **sizes)
    subprocess.run([options.python, HERE / "answers.py"], check=True)


if __name__ == "__main__":
    main()
