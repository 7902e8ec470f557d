"""Speak to registries with skopeo, as nobody: root never sees a registry's bytes but for small
JSON documents whose digest it has checked, or that name what is checked later."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from alcove.host.images import reference as references
from alcove.host.images import runner
from alcove.host.images.jail import Jail, Mount, View
from alcove.host.images.reference import Reference
from alcove.host.images.runner import Progress
from alcove.host.images.shelf import make_directory, remove_tree, write_file
from alcove.host.settings import HostSettings
from alcove.model.errors import DriverError

DOCUMENT_BYTES_MAX: Final = 4 << 20
DOWNLOAD_BYTES_MAX: Final = 64 << 30
PULLER: Final = 1000
"""Its user id inside the jail."""
POLICY: Final = Path("/etc/containers/policy.json")
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}
ARCHITECTURE: Final = _MACHINES.get(os.uname().machine, os.uname().machine)

_TROUBLES: Final = (
    (
        r"manifest unknown|name unknown|repository name not known|status code 404|not found",
        "there is no such image; check the name and the tag",
        False,
    ),
    (
        r"unauthorized|authentication required|requested access .* denied|status code 40[13]"
        r"|invalid username/password",
        "the registry refuses us; put credentials for it into the file that the setting "
        "registry_auth_file names (skopeo login --authfile FILE REGISTRY)",
        False,
    ),
    (
        r"x509: |certificate signed by unknown authority|certificate is not trusted",
        "its TLS certificate is not trusted here; add its authority to the file that the setting "
        "ca_bundle names",
        False,
    ),
    (
        r"server gave HTTP response to HTTPS client",
        "it speaks HTTP without TLS; if that is meant, name it in the setting insecure_registries",
        False,
    ),
    (r"toomanyrequests|too many requests", "it wants fewer requests; try again later", True),
    (r"no such host|server misbehaving", "its name cannot be resolved", True),
    (r"connection refused|timeout|no route to host|unreachable|EOF", "it does not answer", True),
    (r"no space left|file too large", "the disk of this host is full", True),
)


class Registry:
    """Two verbs on registries. Raises DriverError with the reason and the remedy."""

    def __init__(self, settings: HostSettings) -> None:
        self._settings = settings

    def manifest(self, ref: Reference, place: Path, progress: Progress) -> bytes:
        """The manifest, or the list of manifests, as the registry has it."""
        target = make_directory(place / "inspect")
        work = make_directory(target / "work")
        own(work)
        arguments = ["inspect", "--raw", *self._arguments(ref, source=False), f"docker://{ref}"]
        # By way of a file: the output may be one line without an end.
        script = 'exec skopeo "$@" > /tmp/target/work/manifest'
        command = ["/bin/sh", "-c", script, "skopeo", *self._general(), *arguments]
        self._run(command, target, place, progress, ref)
        return read_document(work / "manifest")

    def fetch(self, ref: Reference, cache: Path, place: Path, progress: Progress) -> None:
        """Have the blobs of the image as `blobs/sha256/<hex>` below `cache`; unverified."""
        work = cache / "work"
        if work.exists():
            remove_tree(work)
        own(make_directory(work))
        arguments = [
            *("copy", "--quiet", "--retry-times", "3"),
            *self._arguments(ref, source=True),
            # Unchanged, or their digests would not be those of the manifest.
            *(
                "--dest-oci-accept-uncompressed-layers",
                "--dest-shared-blob-dir",
                "/tmp/target/blobs",
            ),
            f"docker://{ref}",
            "oci:/tmp/target/work/image:image",
        ]
        command = ["skopeo", *self._general(), *arguments]
        self._run(command, cache, place, progress, ref)

    def _run(
        self,
        command: list[str],
        target: Path,
        place: Path,
        progress: Progress,
        ref: Reference,
    ) -> None:
        if shutil.which("skopeo", path="/usr/bin:/usr/local/bin") is None:
            raise DriverError("skopeo is not installed; run: apt-get install skopeo", retry=False)
        said: list[str] = []

        def read(line: str) -> bool:
            if len(said) < 50:
                said.append(line)
            return False

        jail = Jail(
            id_base=self._settings.build_ids,
            view=View.HOST,
            command=tuple(command),
            env=self._environment(),
            user=PULLER,
            mounts=(
                Mount(str(target), "/tmp/target", writable=True),
                *self._trust(place),
            ),
            network=True,
            bytes_max=DOWNLOAD_BYTES_MAX,
        )
        if code := runner.run(jail, progress, read):
            raise _trouble(ref, " ".join(said), code)

    def _general(self) -> list[str]:
        """An operator's policy of signatures holds; without one every signature is accepted."""
        policy = [] if POLICY.is_file() else ["--insecure-policy"]
        return ["--tmpdir", "/tmp/target/work", *policy]

    def _arguments(self, ref: Reference, *, source: bool) -> list[str]:
        prefix = "--src-" if source else "--"
        arguments: list[str] = []
        if ref.registry in self._settings.insecure_registries:
            arguments.append(f"{prefix}tls-verify=false")
        if self._settings.registry_auth_file:
            arguments += [f"{prefix}authfile", "/tmp/auth.json"]
        return arguments

    def _trust(self, place: Path) -> list[Mount]:
        """Copies of what the puller needs to read, in files that it owns."""
        mounts: list[Mount] = []
        if self._settings.ca_bundle:
            ca = write_file(place / "ca.pem", _read(self._settings.ca_bundle, "ca_bundle"))
            mounts.append(Mount(str(ca), "/tmp/ca.pem", writable=False))
        if self._settings.registry_auth_file:
            text = _read(self._settings.registry_auth_file, "registry_auth_file")
            auth = place / "auth.json"
            auth.touch(mode=0o600)
            os.chown(auth, PULLER, PULLER)
            auth.write_text(text)
            mounts.append(Mount(str(auth), "/tmp/auth.json", writable=False))
        return mounts

    def _environment(self) -> Mapping[str, str]:
        told = self._settings
        values = {
            "HTTP_PROXY": told.http_proxy,
            "HTTPS_PROXY": told.https_proxy,
            "NO_PROXY": told.no_proxy,
            "SSL_CERT_FILE": "/tmp/ca.pem" if told.ca_bundle else "",
            "PATH": "/usr/bin:/bin:/usr/local/bin",
            "HOME": "/tmp/target/work",
            "XDG_RUNTIME_DIR": "/tmp/target/work",
        }
        return {name: value for name, value in values.items() if value}


def for_this_machine(raw: bytes, ref: Reference) -> str | None:
    """The digest of this machine's manifest in a list of manifests; None if `raw` is a manifest.
    Raises DriverError if there is none for this machine."""
    document = read_json(raw, f"the manifest of {ref}")
    if "manifests" not in document:
        if document.get("schemaVersion") != 2 or "layers" not in document:
            raise DriverError(f"{ref} has a manifest of a kind that is not supported", retry=False)
        return None
    offered: list[str] = []
    for entry in objects(document["manifests"]):
        platform = entry.get("platform")
        if not isinstance(platform, dict):
            continue
        values = cast("dict[str, object]", platform)
        if values.get("os") == "linux" and values.get("architecture") == ARCHITECTURE:
            return references.check_digest(str(entry.get("digest", "")))
        offered.append(f"{values.get('os')}/{values.get('architecture')}")
    raise DriverError(
        f"{ref} is not made for linux/{ARCHITECTURE}; it is for {', '.join(offered[:10])}",
        retry=False,
    )


def read_document(path: Path) -> bytes:
    """A small file that somebody else wrote: no links, no surprises in size."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as file:
        data = file.read(DOCUMENT_BYTES_MAX + 1)
    if len(data) > DOCUMENT_BYTES_MAX:
        raise DriverError(f"a document of over {DOCUMENT_BYTES_MAX >> 20} MiB", retry=False)
    return data


def read_json(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object. Raises DriverError."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DriverError(f"{what} is not JSON", retry=False) from error
    if not isinstance(found, dict):
        raise DriverError(f"{what} is not a JSON object", retry=False)
    return cast("dict[str, Any]", found)


def objects(value: object) -> list[dict[str, Any]]:
    """The JSON objects of a JSON list; of anything else none."""
    entries = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", entry) for entry in entries if isinstance(entry, dict)]


def own(directory: Path) -> None:
    """Give a directory to the puller. On disk its number is that inside of the jail."""
    os.chown(directory, PULLER, PULLER, follow_symlinks=False)


def _read(path: str, setting: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise DriverError(
            f"{setting}: cannot read {path}: {error.strerror}", retry=False
        ) from error


def _trouble(ref: Reference, said: str, code: int) -> DriverError:
    for pattern, meaning, retry in _TROUBLES:
        if re.search(pattern, said, re.IGNORECASE):
            return DriverError(f"cannot get {ref} from {ref.registry}: {meaning}", retry=retry)
    last = re.sub(r'.*msg="?', "", said)[-300:] or f"exit code {code}"
    return DriverError(f"cannot get {ref} from {ref.registry}: {last}", retry=True)
