"""Certificates for tests: an authority, and what it signs for `localhost`."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Authority:
    """`bundle` is what clients trust."""

    directory: Path
    key: Key
    certificate: x509.Certificate

    @classmethod
    def make(cls, directory: Path) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("tests")
        certificate = (
            _builder(name, name, key, days=10)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        made = cls(directory, key, certificate)
        made.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return made

    @property
    def bundle(self) -> Path:
        return self.directory / "authority.pem"

    def sign(self, name: str = "localhost", *, serial: int | None = None) -> tuple[Path, Path]:
        """Files with a certificate for that name, all names below it and 127.0.0.1, and its key;
        the same files each time."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [
            x509.DNSName(name),
            x509.DNSName(f"*.{name}"),
            x509.IPAddress(ip_address("127.0.0.1")),
        ]
        builder = _builder(_name(name), self.certificate.subject, key, days=5, serial=serial)
        signed = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
            self.key, hashes.SHA256()
        )
        certificate, secret = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, secret


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, *, days: int, serial: int | None = None
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)  # noqa: TID251 - what checks it takes the time that is
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
    )
