"""The bus's own certificate authority, and the certificate of its server. Clients check it; they prove who they
are by their keys, not by certificates."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bestex.bus_keys import make_private_dir, write_private
from bestex.errors import ConfigError, UsageError

CA, CA_KEY, CERT, CERT_KEY = "ca.pem", "ca.key", "server.pem", "server.key"
PUBLIC_MODE = 0o644
CA_DAYS, CERT_DAYS = 3650, 365
RENEW_BEFORE_DAYS = 30  # a server certificate that is closer to its end than this is made anew
BACKDATED = datetime.timedelta(hours=1)  # clocks of clients may be behind


def make_tls(folder: Path, hosts: Sequence[str], *, anew: bool = False) -> list[str]:
    """Make what is missing or does not cover `hosts`; the names of the files that were made. A certificate
    authority is made once: with a new one every client would have to be told."""
    make_private_dir(folder)
    made = []
    if not (folder / CA).exists():
        _make_ca(folder)
        made += [CA, CA_KEY]
    if anew or made or not _covers(folder / CERT, hosts):
        _make_certificate(folder, hosts)
        made += [CERT, CERT_KEY]
    return made


def context(ca: str | Path) -> ssl.SSLContext:
    """What a client checks the bus with. ConfigError where `ca` is no certificate."""
    try:
        return ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"bus.ca: {ca} is no certificate ({error.strerror or error})") from None


def _make_ca(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("bestex bus CA")
    certificate = (
        _builder(name, name, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / CA_KEY, _private_pem(key))
    write_private(folder / CA, certificate.public_bytes(serialization.Encoding.PEM), PUBLIC_MODE)


def _make_certificate(folder: Path, hosts: Sequence[str]) -> None:
    if not (folder / CA_KEY).exists():
        raise UsageError(f"{folder / CA_KEY} is not here; the certificate of {', '.join(hosts)} needs it")
    ca = x509.load_pem_x509_certificate((folder / CA).read_bytes())
    ca_key = serialization.load_pem_private_key((folder / CA_KEY).read_bytes(), password=None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey), "made above"
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name(hosts[0]), ca.subject, key.public_key(), CERT_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    write_private(folder / CERT_KEY, _private_pem(key))
    write_private(folder / CERT, certificate.public_bytes(serialization.Encoding.PEM), PUBLIC_MODE)


def _covers(path: Path, hosts: Sequence[str]) -> bool:
    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    ends = certificate.not_valid_after_utc - datetime.timedelta(days=RENEW_BEFORE_DAYS)
    return set(map(_alternative, hosts)) <= set(names) and datetime.datetime.now(datetime.UTC) < ends


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        key_cert_sign=sign,
        crl_sign=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
