"""The report and the card: whole, true, and safe whatever is written in labels and texts."""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.evaluation import ClassRow, Evaluation, MetricValue
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.reports import write_card, write_report
from adapterhub_lite.training.plan import Plan, make_plan
from adapterhub_lite.training.results import SeedResult

SCRIPT = "<script>alert('x')</script>"
JINJA = "{{ 7 * 191 }}{% raw %}"
QUOTES = "\"double\" & 'single' --> ]]>"
HOSTILE = (SCRIPT, JINJA, QUOTES)
OURS = get_catalogue(first_party_only=True)
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """An HTML page that is read strictly: every tag is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.cells: list[str] = []
        self.images: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], "a tag was left open"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append(str(dict(attrs)["src"]))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)
        if "td" in self.open:
            self.cells[-1] += data


def plan_of(lab: Any, labels: Sequence[str], **changes: Any) -> Plan:
    """Plan a training on four rows of each label."""
    rows = [
        {"text": f"{SCRIPT} row {i} of {name} {JINJA}", "label": name}
        for name in labels
        for i in range(4)
    ]
    file = lab.rows.with_name("rows.jsonl")
    file.write_text("\n".join(json.dumps(row) for row in rows))
    values = {"data": {"train": str(file)}, "license": "apache-2.0", **changes}
    return make_plan(lab.recipe(**values), lab.catalogue, lab.registry)


def evaluation(labels: Sequence[str], accuracy: float) -> Evaluation:
    count = len(labels)
    return Evaluation(
        rows=40,
        metrics=(
            MetricValue("accuracy", accuracy, (accuracy - 0.125, accuracy + 0.0625)),
            MetricValue("log_loss", 0.321, (0.3, 0.4)),
        ),
        classes=tuple(ClassRow(name, 0.5, 0.25, 0.333, 7) for name in labels),
        confusion=tuple(tuple(int(i == j) for j in range(count)) for i in range(count)),
        mistakes=((f"a text {SCRIPT} {JINJA}", labels[0], labels[-1]),),
    )


def seed_result(labels: Sequence[str], seed: int = 0, accuracy: float = 0.75) -> SeedResult:
    return SeedResult(
        seed=seed,
        rows=12,
        kept="frozen",
        reason=f"the gain of {JINJA} was {SCRIPT} small",
        selection=0.875,
        candidates={"frozen": 0.875, "fine-tuned": 0.625},
        hyperparameters={},
        test=evaluation(labels, accuracy),
        baseline=evaluation(labels, 0.5625),
        seconds=1.5,
    )


def report_of(
    plan: Plan, seeds: Sequence[SeedResult], place: Path, catalogue: Catalogue | None = None
) -> tuple[str, Page]:
    events = place / "events.jsonl"
    steps = [
        {"event": "step", "seed": 0, "stage": "train", "loss": loss} for loss in (0.9, 0.5, 0.4)
    ]
    lines = [{"event": "started"}, *steps, {"event": "step", "seed": 0, "stage": "test"}]
    events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_report(place / "report.html", plan, seeds[0], seeds, events, catalogue or OURS)
    html = (place / "report.html").read_text(encoding="utf-8")
    return html, Page(html)


def card_of(plan: Plan, seeds: Sequence[SeedResult], place: Path) -> tuple[dict[str, Any], str]:
    """Return the front matter and the text of the card."""
    write_card(place / "README.md", plan, seeds[0], seeds)
    empty, front, body = (place / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert empty == ""
    values = yaml.safe_load(front)
    assert isinstance(values, dict)
    return values, body


def test_the_report_tells_scores_baseline_and_reason(lab: Any, tmp_path: Path) -> None:
    labels = ("cat", "dog")
    html, page = report_of(plan_of(lab, labels), [seed_result(labels)], tmp_path)
    assert html.startswith("<!doctype html>")
    assert "0.7500 (0.6250 to 0.8125)" in page.cells
    assert "0.5625" in page.cells, "the frozen baseline"
    assert "Kept: frozen. The gain of" in page.text
    assert "frozen 0.875, fine-tuned 0.625." in page.text
    assert "on 40 test rows (95 % interval)" in page.text
    assert {"cat", "dog", "0.500", "0.250", "0.333", "7"} <= set(page.cells)
    assert "1,000 of" in page.text
    assert "objective: name: majority smoothing: 1.0" in page.text


def test_the_report_is_one_file_with_its_plots_in_it(lab: Any, tmp_path: Path) -> None:
    labels = ("cat", "dog")
    html, page = report_of(plan_of(lab, labels), [seed_result(labels)], tmp_path)
    assert len(page.images) == 2, "the confusion matrix and the losses"
    assert all(image.startswith("data:image/png;base64,iVBOR") for image in page.images)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert not re.search(r"(src|href)=\"?(https?:)?//", html)


def test_the_report_compares_seeds(lab: Any, tmp_path: Path) -> None:
    labels = ("cat", "dog")
    seeds = [seed_result(labels, seed, accuracy) for seed, accuracy in enumerate((0.75, 0.5))]
    _, page = report_of(plan_of(lab, labels, seeds=2), seeds, tmp_path)
    assert "0 (published)" in page.cells
    assert "1" in page.cells
    (mean,) = [cell for cell in page.cells if cell.startswith("0.6250 (")]
    assert mean == "0.6250 (-0.9633 to 2.2133)", "Student's t with one degree of freedom"


def test_the_report_of_a_run_that_was_not_scored(lab: Any, tmp_path: Path) -> None:
    bare = replace(seed_result(("cat", "dog")), test=None, baseline=None, candidates={})
    _, page = report_of(plan_of(lab, ("cat", "dog")), [bare, bare], tmp_path)
    assert "There were no test rows." in page.text
    assert len(page.images) == 1, "the losses"
    assert len(page.images) == 1


def test_the_report_with_several_labels_a_row_says_that_it_has_no_confusion(
    lab: Any, tmp_path: Path
) -> None:
    labels = ("cat", "dog")
    result = seed_result(labels)
    assert result.test is not None
    many = replace(result, test=replace(result.test, confusion=None))
    _, page = report_of(plan_of(lab, labels), [many], tmp_path)
    assert len(page.images) == 1, "the losses"
    assert "Rows may carry several labels, so there is no confusion matrix." in page.text


def test_nothing_that_is_written_in_rows_is_markup_or_code(lab: Any, tmp_path: Path) -> None:
    html, page = report_of(plan_of(lab, HOSTILE), [seed_result(HOSTILE)], tmp_path)
    assert "script" not in page.tags
    assert set(HOSTILE) <= set(page.cells)
    assert f"a text {SCRIPT} {JINJA}" in page.cells
    assert str(7 * 191) not in html.split("<h2>")[1], "no template is run"
    assert JINJA in page.text


@pytest.mark.parametrize(
    "label",
    [
        pytest.param("$\\frac$", id="mathematics"),
        pytest.param("日本語", id="other letters"),
        pytest.param("very long " * 15, id="long"),
    ],
)
def test_any_label_can_be_drawn(lab: Any, tmp_path: Path, label: str) -> None:
    labels = ("dog", label.strip())
    _, page = report_of(plan_of(lab, labels), [seed_result(labels)], tmp_path)
    assert labels[1] in page.cells


def test_many_classes_can_be_drawn(lab: Any, tmp_path: Path) -> None:
    labels = [f"label {i}" for i in range(60)]
    _, page = report_of(plan_of(lab, labels), [seed_result(labels)], tmp_path)
    assert len(page.images) == 2


def test_the_front_matter_is_yaml_that_a_hub_reads(lab: Any, tmp_path: Path) -> None:
    base = tmp_path / "odd: #name é"
    shutil.copytree(lab.base, base)
    plan = plan_of(lab, ("cat", "dog"), base=str(base))
    front, _ = card_of(plan, [seed_result(("cat", "dog"))], tmp_path)
    read = ModelCard.load(tmp_path / "README.md").data
    assert [(one.metric_type, one.task_type) for one in read.eval_results] == [
        ("accuracy", "text-classification"),
        ("log_loss", "text-classification"),
    ]
    assert read.model_name == front.pop("model-index")[0]["name"] == plan.recipe.publish
    assert front == {  # a folder is no base that the hub knows
        "library_name": "adapterhub-lite",
        "license": "apache-2.0",
        "pipeline_tag": "text-classification",
        "tags": ["adapterhub-lite", "majority", "none"],
        "metrics": ["accuracy", "log_loss"],
    }


def test_a_base_of_the_hub_is_named_by_its_card(lab: Any, tmp_path: Path) -> None:
    plan = plan_of(lab, ("cat", "dog"))
    named = replace(plan.base, ref="acme/encoder@main", revision="ab" * 20, source="hub")
    front, _ = card_of(replace(plan, base=named), [seed_result(("cat", "dog"))], tmp_path)
    assert (front["base_model"], front["base_model_relation"]) == ("acme/encoder", "finetune")


def test_the_card_tells_scores_baseline_reason_and_use(lab: Any, tmp_path: Path) -> None:
    labels = ("cat", "dog")
    plan = plan_of(lab, labels, seeds=2)
    _, body = card_of(plan, [seed_result(labels, 3), seed_result(labels, 4)], tmp_path)
    assert body.startswith("\n# shares\n")
    assert "| accuracy | 0.7500 | 0.6250 to 0.8125 | 0.5625 |" in body
    assert "The frozen encoder was kept: the gain of" in body
    assert 'adapterhub_lite.load("shares").predict(["a text"])' in body
    assert "Labels: `cat`, `dog`" in body
    assert "Seed 3 of 2, chosen by cross-validation." in body


def test_the_card_of_a_run_that_was_not_scored(lab: Any, tmp_path: Path) -> None:
    bare = replace(seed_result(("cat", "dog")), test=None, baseline=None)
    plan = plan_of(lab, ("cat", "dog"), publish=None, license=None)
    front, body = card_of(plan, [bare], tmp_path)
    assert not {"license", "metrics", "model-index"} & set(front)
    assert "It was not scored on test rows." in body
    assert "# model" in body


CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


@pytest.mark.parametrize(
    "label",
    [
        SCRIPT,
        JINJA,
        f"a`{SCRIPT}`b",
    ],
)
def test_a_label_in_the_card_is_no_markup(lab: Any, tmp_path: Path, label: str) -> None:
    labels = (label, "dog")
    bare = replace(seed_result(labels), reason="it was best")
    _, body = card_of(plan_of(lab, labels), [bare], tmp_path)
    assert label in body
    assert SCRIPT not in CODE_SPAN.sub("", body)
