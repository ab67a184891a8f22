"""Places that versions are pushed to and pulled from: folders, bundles, OCI, the hub, stores."""

from collections.abc import Iterator
from typing import Final

from adapterhub_lite.hookspecs import hookimpl
from adapterhub_lite.specs import ConformanceCase, RemoteSpec, Requirement

STORES: Final = (
    ("s3", "Amazon S3, and what speaks its protocol.", ("s3", "s3a"), "s3fs"),
    ("gcs", "Google Cloud Storage.", ("gs", "gcs"), "gcsfs"),
    ("azure", "Azure Blob Storage.", ("az", "abfs"), "adlfs"),
    ("oss", "Alibaba's object storage.", ("oss",), "ossfs"),
    ("hdfs", "Hadoop's file system.", ("hdfs",), "pyarrow"),
    ("sftp", "A folder of another machine, over SSH.", ("sftp", "ssh"), "paramiko"),
    ("webdav", "A folder of a WebDAV server.", ("webdav",), "webdav4"),
    ("smb", "A shared folder of a Windows network.", ("smb",), "smbprotocol"),
    ("ftp", "A folder of an FTP server.", ("ftp",), "ftplib"),
    ("memory", "This process's own memory, for trying things out.", ("memory",), "fsspec"),
)
"""Name, summary, the schemes by fsspec's own names, and the library that fsspec needs for it."""


@hookimpl
def adapterhub_remotes() -> Iterator[RemoteSpec]:
    """Offer folders, bundles, OCI registries, the hub, and the stores that fsspec reaches."""
    yield RemoteSpec(
        name="folder",
        summary="Another registry, in a folder: file:/srv/adapters.",
        implementation="adapterhub_lite_remotes.folder:open_folder",
        schemes=("file",),
    )
    yield RemoteSpec(
        name="bundle",
        summary="One file to hand on, a tar archive: bundle:tickets.tar.",
        implementation="adapterhub_lite_remotes.bundle:open_bundle",
        schemes=("bundle",),
    )
    yield RemoteSpec(
        name="oci",
        summary="A repository of an OCI registry: oci://ghcr.io/acme/tickets.",
        implementation="adapterhub_lite_remotes.oci:open_oci",
        schemes=("oci", "oci+http"),
    )
    yield RemoteSpec(
        name="hub",
        summary="A model repository of the Hugging Face hub: hub:me/tickets.",
        implementation="adapterhub_lite_remotes.hub:open_hub",
        schemes=("hub",),
    )
    for name, summary, schemes, module in STORES:
        yield RemoteSpec(
            name=name,
            summary=summary,
            implementation="adapterhub_lite_remotes.store:open_store",
            requires=(Requirement(module=module, install=f"pip install {module}"),),
            schemes=schemes,
        )


ADDRESSES: Final = {
    "folder": "file:{folder}",
    "bundle": "bundle:{folder}/place.tar",
    "memory": "memory:/{folder}",
}
"""Places that can be made up on one machine, for the conformance kit."""


@hookimpl
def adapterhub_conformance() -> Iterator[ConformanceCase]:
    """Say where remotes are tried; the rest shares its code with ``memory``."""
    for name, address in ADDRESSES.items():
        yield ConformanceCase(kind="remote", name=name, params={"address": address})
    why = {"check_has_an_address": "it needs a server; its own tests bring one"}
    for name in ("oci", "hub"):
        yield ConformanceCase(kind="remote", name=name, expected_failures=why)
    why = {"check_has_an_address": "it needs a server; its code is that of memory"}
    for name, *_ in STORES:
        if name not in ADDRESSES:
            yield ConformanceCase(kind="remote", name=name, expected_failures=why)
