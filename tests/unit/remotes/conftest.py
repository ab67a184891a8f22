"""Registries with versions, and a remote of each kind that needs no other machine."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from safetensors.numpy import save

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.plugins import get_catalogue
from adapterhub_lite.remotes import push_version
from adapterhub_lite_registry import ManifestDraft, Registry, Version
from tests.unit.remotes.hub_server import Hub, Repo
from tests.unit.remotes.oci_registry import serving

Publish = Callable[..., Version]


def tensors(seed: int) -> bytes:
    values = np.random.default_rng(seed).normal(size=(64, 64)).astype(np.float32)
    return bytes(save({"weight": values}))


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return get_catalogue(first_party_only=True)


@pytest.fixture
def here(tmp_path: Path) -> Registry:
    return Registry.open(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Registry:
    """Another person's registry."""
    return Registry.open(tmp_path / "there")


@pytest.fixture
def publish(here: Registry) -> Publish:
    """Publish a version of three files, of which versions share all but the weights."""

    def call(
        name: str = "support", seed: int = 0, registry: Registry = here, **more: Any
    ) -> Version:
        files = {
            "adapter_model.safetensors": tensors(seed),
            "adapter_config.json": b'{"r": 8}',
            "tokenizer/vocab.txt": b"one\ntwo\n",
            "tokenizer/copy.txt": b"one\ntwo\n",
        }
        draft = ManifestDraft.model_validate({"kind": "adapter", "seed": seed, **more})
        return registry.publish(name, files, draft)

    return call


@pytest.fixture(params=["file", "bundle", "memory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name an empty place of each kind."""
    return {
        "file": f"file://{tmp_path}/place",
        "bundle": f"bundle:{tmp_path}/place.tar",
        "memory": f"memory://{uuid.uuid4().hex}/adapters",
    }[request.param]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Serve a hub, on which Ann is logged in."""
    server = Hub()
    with serving(server) as host:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://{host}")
        template = f"http://{host}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setenv("HF_TOKEN", "hf_ann")
        close_session()  # its client was made for another test's hub
        yield server
    close_session()


@pytest.fixture
def repo(publish: Any, here: Registry, catalogue: Catalogue, hub: Hub) -> Repo:
    """Push three versions; the newest is prod."""
    for seed in range(3):
        publish(seed=seed)
        alias = "prod" if seed == 2 else None
        push_version(f"support@{seed + 1}", "hub:ann/tickets", here, catalogue, alias=alias)
    hub.asked.clear()
    hub.uploads.clear()
    return hub.repos["ann/tickets"]
