"""A merge's model card: what the hub reads, and what a person does."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapterhub_lite.inference.artifact import ArtifactInfo
from adapterhub_lite.merging.folder.card import MergeCard, card_text, write_card
from adapterhub_lite.merging.folder.files import FolderFiles
from adapterhub_lite.merging.opening import Opened
from adapterhub_lite.recipes.merge import MergeRecipe
from adapterhub_lite.specs import Head, MergeSpec
from adapterhub_lite.streaming.sources import StateSource
from adapterhub_lite_registry import Manifest, Version

DIGEST = "sha256:" + "ab" * 32
TIES = MergeSpec(
    name="ties",
    summary="Trimmed task vectors of one sign.",
    formula="θ = θ₀ + λ Σ wᵢδ̂ᵢ | sgn",
    paper="https://arxiv.org/abs/2306.01708",
)


def model(ref: str, folder: str = "nowhere", **known: Any) -> Opened:
    return Opened(ref=ref, source=StateSource({}, ref), folder=Path(folder), config={}, **known)


def version(name: str, number: int, licence: str | None = None) -> Version:
    manifest = Manifest(
        kind="model",
        name=name,
        files=(),
        created_at="2026-01-01T00:00:00.000000Z",
        license=licence,
        schema=1,
    )
    return Version(name, number, DIGEST, manifest)


def card(values: dict[str, Any], opened: dict[str, Opened], **more: Any) -> MergeCard:
    base = model("llama")
    files = FolderFiles(
        config={"architectures": ["LlamaForCausalLM"]},
        config_from=base,
        copied={},
        made={},
        info=more.pop("info", None),
        notes=(),
    )
    return MergeCard(
        recipe=MergeRecipe.model_validate(values),
        values=values,
        opened=opened,
        base=more.pop("base", base),
        strategies=more.pop("strategies", [TIES]),
        files=files,
        **more,
    )


def values_of(*models: Any, **more: Any) -> dict[str, Any]:
    return {"base": "llama", "strategy": "ties", "models": list(models), **more}


def front_matter(text: str) -> Any:
    return yaml.safe_load(text.split("---\n")[1])


def table(text: str) -> list[list[str]]:
    """Return the cells of the table, as Markdown splits them."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_hub_reads_which_of_its_models_it_was_made_of() -> None:
    values = values_of("legal@3", "owner/medical", publish="both", license="mit")
    opened = {
        "legal@3": model("legal@3", version=version("legal", 3)),
        "owner/medical": model("owner/medical", f"snapshots/{'ab' * 20}"),
        "folders/codes": model("folders/codes"),
    }
    front = front_matter(card_text(card(values, opened)))
    assert front == {
        "library_name": "transformers",
        "license": "mit",
        "base_model": ["owner/medical"],
        "base_model_relation": "merge",
        "tags": ["adapterhub-lite", "merge", "ties"],
    }


def test_every_model_is_in_the_table_with_its_parameters_and_digest() -> None:
    values = values_of({"ref": "legal", "weight": 0.6, "density": [0.1, 0.9]}, "b|c")
    known = version("legal", 3, "apache-2.0")
    opened = {"legal": model("legal", version=known), "b|c": model("b|c")}
    text = card_text(card(values, opened))
    head, _, base, legal, other = [*table(text)[:1], [], *table(text)[1:]]
    assert head == ["model", "where", "parameters", "licence", "version"]
    assert base[:2] == ["`llama`", "base"]
    assert legal[0] == "`legal@3`"
    assert legal[2] == "`weight = 0.6`, `density = [0.1, 0.9]`"
    assert legal[3:] == ["apache-2.0", f"`{DIGEST}`"]
    assert other[0] == "`b\\|c`"


def test_strategies_have_their_formula_and_paper() -> None:
    text = card_text(card(values_of("a"), {"a": model("a")}))
    line = next(line for line in text.splitlines() if line.startswith("- `ties`"))
    assert f"`{TIES.formula}`" in line
    assert "([paper](https://arxiv.org/abs/2306.01708))" in line
    odd = replace(TIES, paper="javascript:alert(1)")
    assert "javascript" not in card_text(card(values_of("a"), {"a": model("a")}, strategies=[odd]))


@pytest.mark.parametrize("note", ["```\n# not a heading", "plain", "a `tick`"])
def test_the_recipe_can_be_taken_out_of_the_card_again(note: str) -> None:
    values = values_of("a", chat_template=note)
    text = card_text(card(values, {"a": model("a")}))
    found = re.search(r"^(`{3,})yaml\n(.*?)^\1$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    assert yaml.safe_load(found[2]) == values


def test_slices_stages_and_modules_say_where_they_stand() -> None:
    values = {
        "strategy": "ties",
        "stages": {"both": {"strategy": "ties", "models": ["a", "b"]}},
        "slices": [
            {"models": [{"stage": "both", "layers": [0, 4], "weight": 1}]},
            {"models": [{"ref": "a", "layers": [4, 8]}]},
        ],
        "modules": {"vision": {"strategy": "ties", "models": ["b"]}},
    }
    opened = {"a": model("a"), "b": model("b")}
    text = card_text(card(values, opened, base=None))
    assert [row[:2] for row in table(text)[1:]] == [
        ["`stage both`", "slice 1, layers 0 to 3"],
        ["`a`", "slice 2, layers 4 to 7"],
        ["`b`", "module vision"],
        ["`a`", "stage both"],
        ["`b`", "stage both"],
    ]
    assert "merged from 2 models by `ties` with adapterhub-lite." in text


def test_metadata_and_table_name_folders_not_places(tmp_path: Path) -> None:
    folder = tmp_path / "secret" / "medical"
    folder.mkdir(parents=True)
    ref = str(folder)
    notices = [f"{ref} lacks a token"]
    text = card_text(card(values_of("a"), {ref: model(ref)}, notices=notices))
    assert "- medical lacks a token\n" in text
    assert "base_model" not in front_matter(text)
    assert "secret" not in text


def test_an_adapter_is_named_with_its_base() -> None:
    adapter = model("legal", base=model("mistral"), adapter=Path("legal"))
    text = card_text(card(values_of("legal"), {"legal": adapter}))
    assert table(text)[2][0] == "`legal` on `mistral`"


def test_a_task_of_ours_says_what_it_is_and_how_it_is_asked() -> None:
    info = ArtifactInfo(
        task="token-classification",
        method="full",
        objective="tagging",
        head=Head(kind="token-classification", labels=("O", "B-X")),
    )
    values = values_of("a", publish="tags")
    text = card_text(card(values, {"a": model("a")}, info=info, rows="tagged-words"))
    assert front_matter(text)["pipeline_tag"] == "token-classification"
    assert "A tagger of words with 2 tags, merged from 1 model by `ties`" in text
    assert 'adapterhub_lite.load("tags").predict([["some", "words"]])' in text


def test_notices_are_no_markup(tmp_path: Path) -> None:
    notices = ["<script>x</script> | *a*\n# b", "plain"]
    write_card(tmp_path, card(values_of("a"), {"a": model("a")}, notices=notices))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "- \\<script\\>x\\</script\\> \\| \\*a\\* \\# b\n- plain\n" in text
