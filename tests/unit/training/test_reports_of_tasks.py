"""Report and card of tasks without labels, baseline or confusion; of adapters and whole models."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapterhub_lite.evaluation import Evaluation, MetricValue
from adapterhub_lite.reports import write_card, write_report
from adapterhub_lite.training.plan import Plan, make_plan
from adapterhub_lite.training.results import SeedResult

SCORES = Evaluation(
    rows=9,
    metrics=(MetricValue("rmse", 0.5, (0.4, 0.6)),),
    mistakes=(("a ripe plum", "4", "4.9"),),
    notes=("not defined on these rows: pearson",),
)


def plan_of(lab: Any, method: str) -> Plan:
    file = lab.rows.with_name("rows.jsonl")
    rows = [{"text": f"a ripe plum {n}", "value": n / 2} for n in range(6)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = lab.recipe(
        data={"train": str(file)}, objective="regression", method=method, loader="fp32"
    )
    return make_plan(values, lab.catalogue, lab.registry)


def result_of(by_source: Mapping[str, Evaluation]) -> SeedResult:
    return SeedResult(
        seed=0,
        rows=6,
        kept="fine-tuned",
        reason="trained all 3 steps",
        selection=-0.25,
        candidates={"fine-tuned": -0.25},
        hyperparameters={"learning_rate": 5e-5, "best_step": None},
        test=SCORES,
        baseline=None,
        seconds=1.5,
        by_source=by_source,
    )


def card_of(lab: Any, method: str, folder: Path) -> tuple[dict[str, Any], str]:
    write_card(folder / "README.md", plan_of(lab, method), result_of({}), [result_of({})])
    _, front, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_report_shows_what_the_task_has_and_nothing_else(lab: Any, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    cut = {"event": "truncated", "seed": 0, "rows": 2, "of": 6, "max_length": 8}
    events.write_text(json.dumps(cut) + "\n")
    result = result_of({"news": SCORES, "mail": SCORES})
    plan = plan_of(lab, "full")
    write_report(tmp_path / "report.html", plan, result, [result], events, lab.catalogue)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    for shown in (
        "Farthest off",
        "Not defined on these rows: pearson.",
        "2 of 6 texts are longer than 8 tokens and are cut there.",
        "<td>news</td>",
        "<td>mail</td>",
        "learning rate: 5e-05",
    ):
        assert shown in html
    for absent in ("Labels", "Confusion", "confusion matrix", "aseline", "<img"):
        assert absent not in html


@pytest.mark.parametrize(
    ("kind", "library", "loads"),
    [
        ("LORA", "peft", "PeftModel.from_pretrained(base"),
        ("BOTTLENECK", "adapterhub-lite", ""),
    ],
)
def test_the_card_of_an_adapter_names_who_loads_it(
    lab: Any, tmp_path: Path, kind: str, library: str, loads: str
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": kind}))
    front, body = card_of(lab, "lora", tmp_path)
    assert front["library_name"] == library
    assert "base_model" not in front, "the hub would take a folder's name for a model of its own"
    assert loads in body
    assert ("PeftModel" in body) is bool(loads)


def test_the_card_of_a_whole_model(lab: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    front, body = card_of(lab, "full", tmp_path)
    assert front["library_name"] == "transformers"
    assert front["pipeline_tag"] == "text-classification", "the hub knows no text-regression"
    assert "AutoModelForSequenceClassification.from_pretrained(" in body
    assert "| rmse | 0.5000 | 0.4000 to 0.6000 |\n" in body
    assert "baseline" not in body
    assert "Labels" not in body
