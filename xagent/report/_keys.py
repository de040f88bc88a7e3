"""A key to try signatures with. It vouches for nobody: whoever checks must get its certificate another way."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from xagent.errors import ConfigurationFault, UsageFault
from xagent.report._signed import INSTALL, PASSPHRASE

DAYS = 365


def new_key(folder: Path, name: str) -> list[Path]:
    """Write `<folder>/signing.pem` (P-256, only for its owner to read) and its own certificate `signing.crt`.

    The key is encrypted when XAGENT_KEY_PASSPHRASE is set. Raises UsageFault when one of the files exists.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    except ImportError as error:
        raise ConfigurationFault("Keys need cryptography.", INSTALL) from error
    paths = [folder / "signing.pem", folder / "signing.crt"]
    for path in paths:
        if path.exists():
            raise UsageFault(f"{path} exists.", "Choose another folder; keys are never overwritten.")
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    except ValueError as error:
        raise UsageFault(f"--name: {error}.", "Give 1 to 64 characters.") from None
    now = datetime.now(UTC)  # a certificate is valid from when it was made; no report depends on it
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = os.environ.get(PASSPHRASE, "").encode()
    how = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    contents = (
        (key.private_bytes(serialization.Encoding.PEM, form, how), 0o600),
        (certificate.public_bytes(serialization.Encoding.PEM), 0o644),
    )
    folder.mkdir(parents=True, exist_ok=True)
    for path, (content, mode) in zip(paths, contents, strict=True):
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            stream.write(content)
    return paths
