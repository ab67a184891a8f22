"""The metadata at the head of a model card, as the hub wants it.

https://huggingface.co/docs/hub/model-cards: a base model is a repository of the hub or is left
away, a licence is one of the hub's or stands as a name beside ``other``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from adapterhub_lite.specs import Task

HUB_TASKS: Final[Mapping[Task, str]] = {"text-regression": "text-classification"}
"""Our tasks that the hub calls otherwise."""
HUB_ID: Final = re.compile(r"(?:hub:)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@.*)?", re.ASCII)
COMMIT: Final = re.compile(r"[0-9a-f]{40}")
LICENSES: Final = (
    "afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 "
    "bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc cc-by-2.0 "
    "cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 "
    "cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 "
    "cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 "
    "creativeml-openrail-m ecl-2.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 gemma gfdl gpl gpl-2.0 "
    "gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 llama2 llama3 llama3.1 llama3.2 llama3.3 mit mpl-2.0 "
    "ms-pl ncsa odbl odc-by ofl-1.1 openrail openrail++ osl-3.0 pddl postgresql unlicense wtfpl "
    "zlib other unknown"
)
"""The licences that the hub knows, those of adapters and models among them."""


def hub_model(ref: str, revision: str | None) -> str | None:
    """Return the hub's name of a base; None for one of another place, as a folder ``a/b`` is.

    A base that came from the hub has the commit as its revision.
    """
    found = HUB_ID.fullmatch(ref)
    from_hub = found is not None and COMMIT.fullmatch(revision or "")
    return found[1] if found is not None and from_hub else None


def license_of(text: str | None) -> dict[str, str]:
    """Return a licence as the hub writes it; nothing where none is known."""
    if not text:
        return {}
    known = text.strip().lower()
    return (
        {"license": known}
        if known in LICENSES.split()
        else {"license": "other", "license_name": text}
    )


def task_of(task: Task) -> str:
    """Return what the hub calls a task."""
    return HUB_TASKS.get(task, task)


def model_index(
    name: str, task: str | None, data: str, scores: Sequence[tuple[str, float]]
) -> dict[str, Any]:
    """Return scores as the hub's evaluation results; nothing where there are none."""
    if not (scores and task):
        return {}
    result = {
        "task": {"type": task},
        "dataset": {"name": data, "type": "custom"},
        "metrics": [{"type": metric, "value": value} for metric, value in scores],
    }
    return {"model-index": [{"name": name, "results": [result]}]}


def file_names(paths: Iterable[str]) -> str:
    """Return the names of files without their folders, which are a machine's own."""
    return ", ".join(re.split(r"[\\/]", path.strip())[-1] for path in paths)


def name_test_rows(test: Iterable[str], train: Iterable[str]) -> str:
    """Return what test rows are called: by their files, else as what was held out of training."""
    return file_names(test) or f"test rows of {file_names(train) or 'unknown origin'}"


def front_matter(values: Mapping[str, Any]) -> str:
    """Return metadata as it stands at the head of a card."""
    import yaml

    told = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    return f"---\n{told}---"


def read_front_matter(text: str) -> dict[str, Any]:
    """Return the metadata of a card; nothing where there is none, or it is none."""
    import yaml

    found = re.match(r"---\r?\n(.*?)^---\s*$", text, re.DOTALL | re.MULTILINE)
    try:
        values = yaml.safe_load(found[1]) if found is not None else {}
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}
