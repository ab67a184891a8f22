"""``ahl card`` and ``ahl log --graph`` as a person meets them."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from huggingface_hub import ModelCard

from adapterhub_lite_registry import Dataset, ManifestDraft, Metric, Parent, Registry
from adapterhub_lite_registry.evaluations import EvaluationDraft
from tests.unit.cli.conftest import Ahl

OWN_CARD = b"---\nlibrary_name: sentence-transformers\n---\n# own\n"


@pytest.fixture
def registry(home: Path) -> Registry:
    """Publish a base, two adapters of it, and their merge, of which prod is an alias."""
    registry = Registry.open(home)
    base = registry.publish("base", {"config.json": b"{}"}, ManifestDraft(kind="model"))
    of_base = (Parent(digest=base.digest, role="base"),)
    parents = []
    for name in ("left", "right"):
        files = {"adapter_config.json": name.encode()}
        version = registry.publish(name, files, ManifestDraft(kind="adapter", parents=of_base))
        parents.append(Parent(digest=version.digest, weight=0.5))
    draft = ManifestDraft(
        kind="model",
        task="text-classification",
        metrics=(Metric(name="accuracy", value=0.9, split="test"),),
        parents=tuple(parents),
    )
    files = {"config.json": b"{}", "README.md": OWN_CARD}
    registry.publish("both", files, draft, alias="prod")
    return registry


def test_the_card_of_a_version(ahl: Ahl, registry: Registry, tmp_path: Path) -> None:
    version = registry.resolve("both")
    dataset = Dataset(id="/home/ann/later.csv", rows=3)
    metrics = (Metric(name="f1", value=0.25),)
    evaluation = EvaluationDraft(task="text-classification", dataset=dataset, metrics=metrics)
    registry.evaluations.add(version, evaluation)
    done = ahl("card", "both@prod")
    assert (done.code, done.err) == (0, "")
    assert "## Scores on later.csv, evaluated 20" in done.out
    assert "| `left@1` |  | 0.5 |" in done.out
    assert ModelCard(done.out).data.library_name == "sentence-transformers", "its own card says so"
    out = tmp_path / "card.md"
    assert ahl("card", "both", "--out", str(out)).out == f"both@1 → {out}\n"
    assert out.read_text() == done.out
    again = ahl("card", "both", "--out", str(out))
    assert (again.code, "is there already" in again.err) == (2, True)
    shown = json.loads(ahl("card", "left", "--json").out)
    assert (shown["ref"], shown["out"]) == ("left@1", None)
    assert shown["card"].startswith("---\nlibrary_name: peft\n")
    missing = ahl("card", "bothh")
    assert (missing.code, "did you mean" in missing.err) == (2, True)


def test_a_card_costs_no_library_of_models(registry: Registry) -> None:
    heavy = "{'torch', 'transformers', 'numpy', 'peft', 'huggingface_hub'}"
    code = (
        "import sys; from adapterhub_lite.cli.root import cli; "
        "cli.main(['card', 'both'], standalone_mode=False); "
        f"cli.main(['log', 'both', '--graph'], standalone_mode=False); "
        f"sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "# both@1" in done.stdout


def test_a_lineage_is_drawn(ahl: Ahl, registry: Registry, tmp_path: Path) -> None:
    done = ahl("log", "both@prod", "--graph")
    assert done.code == 0
    lines = [line.rstrip() for line in done.out.splitlines()]
    short = {name: registry.resolve(name).digest[:19] for name in registry.names()}
    assert lines == [
        f"●  both@1  (prod)  model  accuracy 0.9  {short['both']}",
        "│    from left@1 0.5, right@1 0.5",
        "├─╮",
        f"│ ○  right@1  adapter  {short['right']}",
        "│ │    from base@1 base",
        f"○ │  left@1  adapter  {short['left']}",
        "│ │    from base@1 base",
        "├─╯",
        f"○    base@1  model  {short['base']}",
    ]
    svg = tmp_path / "lineage.svg"
    assert ahl("log", "left", "--svg", str(svg)).out == f"4 versions → {svg}\n"
    assert ElementTree.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_a_lineage_for_a_script(ahl: Ahl, registry: Registry) -> None:
    shown = json.loads(ahl("log", "base", "--graph", "--json").out)
    assert shown["focus"] == registry.resolve("base").digest
    assert {node["ref"] for node in shown["nodes"]} == {"both@1", "left@1", "right@1", "base@1"}
    both = next(node for node in shown["nodes"] if node["ref"] == "both@1")
    assert both["metric"] == {"name": "accuracy", "value": 0.9, "split": "test"}
    assert len(shown["edges"]) == 4
    assert {edge["role"] for edge in shown["edges"]} == {"base", None}


def test_a_drawing_that_cannot_be_written(ahl: Ahl, registry: Registry, tmp_path: Path) -> None:
    done = ahl("log", "base", "--svg", str(tmp_path / "nowhere" / "x.svg"))
    assert done.code != 0
    assert "nowhere" in done.err
