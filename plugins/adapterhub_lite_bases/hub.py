"""The Hugging Face hub: ``owner/name``, ``owner/name@revision``, or ``hub:`` before either."""

import re

from adapterhub_lite.errors import BaseModelError
from adapterhub_lite.specs import ResolvedBase

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*/config.json"]
"""What is downloaded: configs, tokenizers and safetensors; never a pickle."""


def resolve(ref: str) -> ResolvedBase | None:
    """Download a hub repository, or take it from the cache; None when ``ref`` is no hub id.

    Raises BaseModelError when the hub does not have it, or cannot be reached and the cache does
    not have it either.
    """
    name = ref.removeprefix("hub:")
    if not (HUB_ID.fullmatch(name) or ref.startswith("hub:")):
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        path = snapshot_download(repository, revision=revision or None, allow_patterns=PATTERNS)
    except (LocalEntryNotFoundError, OSError) as error:
        raise BaseModelError(
            f"no base model {ref!r}: no folder of that name, and neither the hub nor its cache "
            "could give it",
            ref=ref,
            hint="check the spelling, the network and HF_HUB_OFFLINE, or give a local folder",
        ) from error
    except (HfHubHTTPError, HFValidationError) as error:
        raise BaseModelError(
            f"the hub has no base model {ref!r}: {str(error).splitlines()[0]}", ref=ref
        ) from error
    # The snapshot's folder is named by the commit that it holds.
    commit = path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return ResolvedBase(ref=name, path=path, source="hub", revision=commit)
