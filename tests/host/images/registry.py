"""A real registry on loopback, and images made by hand for it."""

import base64
import gzip
import hashlib
import io
import json
import os
import socket
import subprocess
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.ports import free_port

USER: Final = "puller"
PASSWORD: Final = "let-me-in"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Entry:
    """One entry of a layer's tar."""

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])


def directory(name: str, mode: int = 0o755) -> Entry:
    return Entry(name, kind=tarfile.DIRTYPE, mode=mode)


def symlink(name: str, target: str) -> Entry:
    return Entry(name, kind=tarfile.SYMTYPE, link=target)


def device(name: str) -> Entry:
    return Entry(name, kind=tarfile.CHRTYPE)


def tar(entries: Sequence[Entry]) -> bytes:
    """The bytes of a layer, as hostile as asked."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.linkname, info.mode = entry.kind, entry.link, entry.mode
            info.uid, info.gid, info.size = entry.uid, entry.gid, len(entry.content)
            info.mtime = 1_600_000_000
            info.pax_headers = dict(entry.headers)
            archive.addfile(info, io.BytesIO(entry.content))
    return out.getvalue()


@dataclass
class Layout:
    """An OCI layout on disk (image-layout.md)."""

    directory: Path

    def blob(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self.directory / "blobs/sha256" / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return f"sha256:{digest}"

    def image(
        self,
        layers: Sequence[bytes],
        *,
        env: Sequence[str] = (),
        how: str = "gzip",
        diff_ids: Sequence[str] | None = None,
        architecture: str = "amd64",
    ) -> dict[str, object]:
        """A manifest's descriptor; `layers` are tars. `diff_ids` may lie."""
        descriptors: list[dict[str, object]] = []
        for layer in layers:
            data = _compress(layer, how)
            kind = f"{LAYER}+{how}" if how else LAYER
            descriptors.append({"mediaType": kind, "digest": self.blob(data), "size": len(data)})
        honest = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
        config = json.dumps(
            {
                "architecture": architecture,
                "os": "linux",
                "config": {"Env": list(env)},
                "rootfs": {"type": "layers", "diff_ids": list(diff_ids or honest)},
            }
        ).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {
                    "mediaType": CONFIG,
                    "digest": self.blob(config),
                    "size": len(config),
                },
                "layers": descriptors,
            }
        ).encode()
        return {
            "mediaType": MANIFEST,
            "digest": self.blob(manifest),
            "size": len(manifest),
            "platform": {"os": "linux", "architecture": architecture},
        }

    def index(self, manifests: Sequence[dict[str, object]]) -> dict[str, object]:
        """A list of manifests for several machines."""
        data = json.dumps(
            {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}
        ).encode()
        return {"mediaType": INDEX, "digest": self.blob(data), "size": len(data)}

    def write(self, descriptor: dict[str, object]) -> None:
        """Make `descriptor` the one that `oci:DIRECTORY:image` names."""
        entry = descriptor | {"annotations": {"org.opencontainers.image.ref.name": "image"}}
        (self.directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        index = {"schemaVersion": 2, "manifests": [entry]}
        (self.directory / "index.json").write_text(json.dumps(index))


class Registry:
    """docker-registry with TLS by an authority of its own, and a password."""

    def __init__(self, directory: Path, *, tls: bool = True, password: bool = True) -> None:
        self.directory = directory
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.tls = tls
        self.ca = directory / "ca.pem"
        self.auth = directory / "auth.json"
        lines = [
            "version: 0.1",
            "storage: {filesystem: {rootdirectory: " + str(directory / "storage") + "}}",
            "http:",
            f"  addr: {self.host}",
            f"  secret: {'x' * 32}",
        ]
        if tls:
            _certificates(directory)
            lines.append(f"  tls: {{certificate: {directory}/tls.pem, key: {directory}/tls.key}}")
        if password:
            self._passwords()
            lines.append(f"auth: {{htpasswd: {{realm: x, path: {directory}/htpasswd}}}}")
        (directory / "config.yml").write_text("\n".join(lines))
        self.log = (directory / "log").open("w")
        command = ["docker-registry", "serve", str(directory / "config.yml")]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        _await_port(self.port)

    def push(self, layout: Layout, name: str) -> None:
        arguments = ["skopeo", "--insecure-policy", "copy", "--all", "-q"]
        arguments += ["--dest-creds", f"{USER}:{PASSWORD}", "--preserve-digests"]
        if not self.tls:
            arguments.append("--dest-tls-verify=false")
        arguments += [f"oci:{layout.directory}:image", f"docker://{self.host}/{name}"]
        env = {"PATH": os.defpath + ":/usr/bin", "SSL_CERT_FILE": str(self.ca), "HOME": "/nowhere"}
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 0, done.stderr

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()

    def _passwords(self) -> None:
        script = "print crypt($ARGV[0], q($2b$05$abcdefghijklmnopqrstuu))"
        hashed = subprocess.check_output(["perl", "-e", script, PASSWORD], text=True)
        (self.directory / "htpasswd").write_text(f"{USER}:{hashed}\n")
        token = _base64(f"{USER}:{PASSWORD}")
        self.auth.write_text(json.dumps({"auths": {self.host: {"auth": token}}}))


def _compress(data: bytes, how: str) -> bytes:
    match how:
        case "gzip":
            return gzip.compress(data, 1, mtime=0)
        case "zstd":
            return subprocess.run(["zstd", "-c"], input=data, capture_output=True).stdout
        case _:
            return data


def _certificates(directory: Path) -> None:
    script = f"""set -e; cd {directory}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca \
  -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=registry \
  -keyout tls.key -out tls.csr
printf 'subjectAltName=IP:127.0.0.1' > ext
openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -days 2 -extfile ext -out tls.pem"""
    subprocess.run(["sh", "-c", script], check=True, capture_output=True)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the registry did not start")
