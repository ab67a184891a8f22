"""The example of the registry alone does what its page says."""

import subprocess
import sys

from tests.unit.docs.pages import DOCS, blocks

HEAVY = "{'torch', 'numpy', 'transformers', 'adapterhub_lite'}"


def test_the_example_runs_without_the_rest_of_the_project() -> None:
    page = (DOCS / "registry.md").read_text(encoding="utf-8")
    code = next(block for block in blocks(page, "python") if "lineage_graph" in block)
    code += f"import sys\nassert not {HEAVY} & set(sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    entry, folder, edge = done.stdout.splitlines()
    assert entry == "support-intents@1 0.93"
    assert folder.endswith("/adapter_config.json")
    assert edge == "True base"
