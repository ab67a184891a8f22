"""Who asks: the user name and password for a registry, and the token that it gives for them.

The environment is asked first, then docker's ``config.json`` and the helper that it names.
"""

import json
import os
import re
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

Login: TypeAlias = tuple[str, str]
USER: Final = "ADAPTERHUB_LITE_OCI_USERNAME"
PASSWORD: Final = "ADAPTERHUB_LITE_OCI_PASSWORD"  # noqa: S105 - a variable's name
HINT: Final = f"log in with docker or podman, or set {USER} and {PASSWORD}"
DOCKER_HUB: Final = "https://index.docker.io/v1/"
HELPER: Final = re.compile(r"[A-Za-z0-9_-]+")
HELPER_SECONDS: Final = 30


def find_login(host: str) -> Login | None:
    """Return the user name and password for a registry; None to ask without."""
    if USER in os.environ and PASSWORD in os.environ:
        return os.environ[USER], os.environ[PASSWORD]
    config = _docker_config()
    keys = [DOCKER_HUB] if host == "docker.io" else [host, f"https://{host}"]
    helpers = config.get("credHelpers")
    helper = helpers.get(host) if isinstance(helpers, dict) else None
    for key in keys:
        if found := _ask_helper(helper or config.get("credsStore"), key) or _stored(config, key):
            return found
    return None


def basic(login: Login) -> str:
    """Return the header's value that tells a user name and a password."""
    return "Basic " + b64encode(":".join(login).encode()).decode()


def parse_challenge(header: str) -> tuple[str, dict[str, str]]:
    """Return what a ``WWW-Authenticate`` asks for: its scheme in lower case, and parameters."""
    scheme, _, rest = header.strip().partition(" ")
    found = re.findall(r'([A-Za-z]+)\s*=\s*"([^"]*)"', rest)
    return scheme.lower(), {key.lower(): value for key, value in found}


def _docker_config() -> Mapping[str, Any]:
    folder = os.environ.get("DOCKER_CONFIG") or "~/.docker"
    try:
        found = json.loads((Path(folder).expanduser() / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _stored(config: Mapping[str, Any], key: str) -> Login | None:
    auths = config.get("auths")
    entry = auths.get(key) if isinstance(auths, dict) else None
    if not isinstance(entry, dict) or not isinstance(entry.get("auth"), str):
        return None
    try:
        user, colon, password = b64decode(entry["auth"]).decode().partition(":")
    except ValueError:
        return None
    return (user, password) if colon else None


def _ask_helper(helper: object, key: str) -> Login | None:
    """Ask the program that docker would ask; None where it is not there or knows nothing."""
    if not isinstance(helper, str) or HELPER.fullmatch(helper) is None:
        return None
    command = [f"docker-credential-{helper}", "get"]
    try:
        done = subprocess.run(  # noqa: S603 - the user's own configuration names it
            command, input=key.encode(), capture_output=True, timeout=HELPER_SECONDS, check=True
        )
        found = json.loads(done.stdout)
        return str(found["Username"]), str(found["Secret"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None
