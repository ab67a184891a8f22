"""Tiny members, and a composition of them: planned, composed and loaded for its checks.

The members are LoRA adapters, trained as text classifiers for two steps. Where a composition takes
others, the case names their training: ``params={"recipe": {"method": …, "objective": …}}``. What a
recipe of the composition says of each member is given as it is written there, without the
reference: ``params={"members": [{"words": ["saw"]}, {}]}``. All other keys are its own parameters.
Of one that learns each member's examples are texts of one label.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adapterhub_lite import api
from adapterhub_lite.errors import SelfTestError
from adapterhub_lite.protocols import AdapterMember
from adapterhub_lite.specs import CompositionSpec
from adapterhub_lite.testing.asking import Answering
from adapterhub_lite.testing.exchange import published, registry_of
from adapterhub_lite.testing.outcomes import NotApplicableError
from adapterhub_lite.testing.rows import inputs_of
from adapterhub_lite.testing.sharing import made_once, needed
from adapterhub_lite.testing.subject import Subject
from adapterhub_lite.testing.tiny import TINY_ROWS

if TYPE_CHECKING:
    from adapterhub_lite.composition.plan import ComposePlan
    from adapterhub_lite.composition.run import ComposeResult
    from adapterhub_lite.inference.predictor import Predictor

OF_THE_KIT: Final = frozenset({"members", "recipe"})
"""Keys of a case that are no parameters of the composition."""
LORA: Final[Mapping[str, Any]] = {"method": {"name": "lora", "r": 4}}
OTHER_LABELS: Final = {"fruit": "sweet", "tool": "hard", "music": "loud"}


def spec_of(subject: Subject) -> CompositionSpec:
    """Return the composition's spec."""
    assert isinstance(subject.offer.spec, CompositionSpec), "the suite gives these checks these"
    return subject.offer.spec


def composition_params(subject: Subject) -> dict[str, Any]:
    """Return the case's parameters of the composition itself."""
    return {key: value for key, value in subject.params.items() if key not in OF_THE_KIT}


def member_params(subject: Subject) -> list[dict[str, Any]]:
    """Return the case's parameters of each member: of as many as the composition needs."""
    least, most = spec_of(subject).members
    number = min(max(least, 2), most or least + 2)
    return [dict(member) for member in subject.params.get("members", [{}] * number)]


def adapters(subject: Subject) -> list[Path]:
    """Return the members' folders, which are the offer's: each was trained with its own seed."""
    own = {**LORA, **subject.params.get("recipe", {})}
    seeds = range(len(member_params(subject)))

    def make() -> list[Path]:
        trained = [published(subject, {**own, "seed": seed}) for seed in seeds]
        return copies(trained, subject.shared / f"members-of-{spec_of(subject).name}")

    return made_once(subject, "adapters", make)


def adapter_of_other_labels(subject: Subject) -> Path:
    """Return the folder of an adapter that tells apart what the members tell apart by other names.

    Raises NotApplicableError where the case trains its members in a way of its own.
    """
    rows = [(text, OTHER_LABELS[label]) for text, label in TINY_ROWS]
    return _other(subject, {}, [("text", "label"), *rows])


def adapter_of_another_task(subject: Subject) -> Path:
    """Return the folder of an adapter that answers with a number; errors as the other's."""
    rows = [(text, str(len(text))) for text, _ in TINY_ROWS]
    objective = {"name": "regression", "max_steps": 2}
    return _other(subject, {"objective": objective}, [("text", "value"), *rows])


def switch_of(subject: Subject, adapter: Path) -> Path:
    """Return the folder of a switch that answers as ``adapter`` does, unless another is chosen."""
    folder = subject.folder / "switch"
    members = [
        {"ref": str(adapter), "name": "asked"},
        {"ref": str(adapters(subject)[-1]), "name": "other"},
    ]
    asked = {"composition": "switch", "members": members}
    api.compose(asked, out=folder, registry=registry_of(subject), catalogue=subject.catalogue)
    return folder


def recipe(subject: Subject, folders: Sequence[Path], **more: Any) -> dict[str, Any]:
    """Return the recipe that composes these, by the case's parameters."""
    learns = needs_examples(subject)
    members = [
        {
            "ref": str(folder),
            "name": f"member-{number}",
            **({"examples": str(examples_of(subject, number))} if learns else {}),
            **given,
        }
        for number, (folder, given) in enumerate(zip(folders, member_params(subject), strict=True))
    ]
    composition = {"name": spec_of(subject).name, **composition_params(subject)}
    return {"composition": composition, "members": members, **more}


def needs_examples(subject: Subject) -> bool:
    """Say whether the composition learns from examples, with the case's parameters."""
    spec = spec_of(subject)
    params = spec.params.model_validate(composition_params(subject))
    return spec.learns and bool(subject.implementation.needs_examples(params))


def examples_of(subject: Subject, number: int) -> Path:
    """Return a file of inputs for a member: those of one label, and each member's of another."""
    file = subject.shared / f"examples-{number}.jsonl"
    if not file.exists():
        labels = list(dict.fromkeys(label for _, label in TINY_ROWS))
        texts = [text for text, label in TINY_ROWS if label == labels[number % len(labels)]]
        lines = [json.dumps({"text": text}) + "\n" for text in texts]
        file.write_text("".join(lines), encoding="utf-8")
    return file


def plan(subject: Subject, folders: Sequence[Path], **more: Any) -> "ComposePlan":
    """Plan a composition of these, as ``ahl compose`` does; ``more`` are keys of the recipe."""
    asked = recipe(subject, folders, **more)
    return api.plan_compose(asked, registry=registry_of(subject), catalogue=subject.catalogue)


def compose(subject: Subject, planned: "ComposePlan", out: Path) -> "ComposeResult":
    """Compose into a folder, and compare with the reference."""
    return api.run_compose(
        planned, out=out, registry=registry_of(subject), catalogue=subject.catalogue
    )


def load(subject: Subject, folder: Path) -> "Predictor":
    """Load what was composed into fresh objects."""
    return api.load(str(folder), registry=registry_of(subject), catalogue=subject.catalogue)


def acting(subject: Subject, found: "ComposePlan") -> Answering:
    """Let open members act together as the core does, and return what answers."""
    if found.spec.result == "adapter" or found.examples:
        folder = subject.folder / f"composed-{len(list(subject.folder.iterdir()))}"
        compose(subject, found, folder)
        return load(subject, folder)
    from adapterhub_lite.inference.composed import load_together

    return load_together(found.members, found.spec, found.params, subject.catalogue)


def planned(subject: Subject) -> "ComposePlan":
    """Return the plan of the members' composition, made once."""
    return made_once(subject, "planned", lambda: plan(subject, adapters(subject)))


def composed(subject: Subject) -> "ComposeResult":
    """Return the composition of the members, which was written and compared once."""

    def make() -> "ComposeResult":
        found = needed(planned, "check_takes_members", subject)
        return compose(subject, found, subject.shared / f"composed-{spec_of(subject).name}")

    return made_once(subject, "composed", make)


def composed_folder(subject: Subject) -> Path:
    """Return the folder of the composition; where there is none it is the fault of other checks."""
    try:
        found = composed(subject)
    except SelfTestError as error:
        raise NotApplicableError(
            "comes after check_answers_as_its_reference, which fails"
        ) from error
    except Exception as error:
        raise NotApplicableError("comes after check_composes, which fails") from error
    assert found.folder is not None, "it was composed into a folder"
    return found.folder


def loaded(subject: Subject) -> "Predictor":
    """Return what answers, loaded once."""
    return made_once(subject, "loaded", lambda: load(subject, composed_folder(subject)))


def asked(subject: Subject) -> list[Any]:
    """Return inputs of the members' task."""
    found = needed(planned, "check_takes_members", subject)
    first = found.members.all[0]
    assert isinstance(first, AdapterMember), "the kit trains adapters"
    return inputs_of(first.objective)


def copies(folders: Sequence[Path], place: Path) -> list[Path]:
    """Return copies of adapters' folders, which are the caller's own."""
    made = [place / str(number) for number in range(len(folders))]
    for folder, copy in zip(folders, made, strict=True):
        shutil.copytree(folder, copy)
    return made


def _other(subject: Subject, more: Mapping[str, Any], rows: Sequence[tuple[str, str]]) -> Path:
    if "recipe" in subject.params:
        raise NotApplicableError("the case trains its members in a way of its own")
    return published(subject, {**LORA, **more}, rows)
