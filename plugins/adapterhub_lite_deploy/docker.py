"""A context that an image is built from: one whole version in a bundle, served by ``ahl serve``."""

import platform
import shlex
from collections.abc import Sequence
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from numpy.typing import NDArray
from packaging.version import Version

from adapterhub_lite import api
from adapterhub_lite.deployment.asking import copy_files
from adapterhub_lite.deployment.exporting import whole_model
from adapterhub_lite.deployment.folders import component
from adapterhub_lite.deployment.parity import ask_version
from adapterhub_lite.inference.artifact import ArtifactInfo, read_artifact_info
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.protocols import Questions, Tolerance
from adapterhub_lite.remotes.api import pull, push
from adapterhub_lite.specs import ResolvedBase
from adapterhub_lite.training.publish import publish_folder, role_of, tensor_count
from adapterhub_lite_deploy import DockerParams
from adapterhub_lite_registry import ManifestDraft

BUNDLE: Final = "version.bundle"
PINNED: Final = ("torch", "transformers", "peft", "safetensors", "scikit-learn", "numpy")
"""What a version's answers depend on, in the releases that they were compared in."""
TOLD: Final = ("report", "card", "recipe")
"""Roles of files that tell of a version's making."""
DOCKERFILE: Final = """\
FROM python:{python}-slim
ENV ADAPTERHUB_LITE_HOME=/home/ahl/registry HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
RUN useradd --create-home ahl
COPY requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir -r /tmp/requirements.txt
USER ahl
WORKDIR /home/ahl
COPY {bundle} .
RUN ahl pull bundle:{bundle}
EXPOSE 8000
# requests have to bear a token: docker run -e AHL_TOKEN=...
CMD ["ahl", "serve", "{name}", "--host", "0.0.0.0", "--port", "8000"]
"""


class DockerExporter:
    """Writes ``Dockerfile``, ``requirements.txt`` and the version as a bundle."""

    def export(
        self, folder: Path, destination: Path, base: ResolvedBase | None, params: DockerParams
    ) -> None:
        """Write ``destination`` from a whole model's folder."""
        info = read_artifact_info(folder)
        with TemporaryDirectory(prefix="adapterhub-") as work:
            made, registry = Path(work) / "model", api.open_registry(Path(work) / "registry")
            copy_files(folder, made, _needed(folder))
            publish_folder(made, params.name, _draft(info, made), registry)
            push(params.name, f"bundle:{destination / BUNDLE}", registry=registry)
        python = ".".join(platform.python_version_tuple()[:2])
        text = DOCKERFILE.format(python=python, bundle=BUNDLE, name=params.name)
        (destination / "Dockerfile").write_text(text, encoding="utf-8")
        lines = [f"adapterhub-lite[serve]=={installed_version('adapterhub-lite')}"]
        lines += [f"{name}=={Version(installed_version(name)).public}" for name in PINNED]
        text = "".join(f"{line}\n" for line in lines)
        (destination / "requirements.txt").write_text(text, encoding="utf-8")

    def answers(
        self, destination: Path, asked: Questions, params: DockerParams
    ) -> Sequence[NDArray[Any]]:
        """Take the bundle into a registry, as the image does, and ask the version in it."""
        with TemporaryDirectory(prefix="adapterhub-") as work:
            registry = api.open_registry(work)
            pull(f"bundle:{destination / BUNDLE}", registry=registry)
            folder = registry.path(registry.resolve(params.name))
            info = read_artifact_info(folder)
            found, _ = ask_version(folder, info, whole_model(folder), get_catalogue(), asked.inputs)
        return found.arrays

    def tolerance(self, params: DockerParams) -> Tolerance:
        """Return the default: the files are the version's own."""
        return Tolerance()

    def usage(self, destination: Path) -> str:
        """Return a line of a shell."""
        place, tag = shlex.quote(str(destination)), shlex.quote(destination.name.lower())
        return f"docker build -t {tag} {place} && docker run -e AHL_TOKEN -p 8000:8000 {tag}"


def _needed(folder: Path) -> list[str]:
    """Return the files that answers depend on: how a version was made stays where it was made."""
    return [
        file.relative_to(folder).as_posix()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and role_of(file) not in TOLD
    ]


def _draft(info: ArtifactInfo, folder: Path) -> ManifestDraft:
    catalogue = get_catalogue()
    return ManifestDraft(
        kind="model",
        task=info.task,
        method=component("method", info.method, catalogue),
        objective=component("objective", info.objective, catalogue),
        loader=component("loader", info.loader, catalogue),
        tensors=tensor_count(folder),
    )
