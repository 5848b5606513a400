"""Private DKIM keys: read with suspicion, made, and described as a DNS record (RFC 6376 3.6.1, RFC 8463).

A key file is refused when it is a symbolic link, not a regular file, owned by somebody else, readable by group or
others, encrypted, of another kind than RSA or Ed25519, or RSA outside 2048 to 4096 bits (RFC 8301 3.2). Every refusal
names the file and the remedy and never shows content. Only signing workers and the command line import this.
"""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

FILE_LIMIT = 65_536
RSA_SMALLEST = 2048
RSA_LARGEST = 4096
"""RFC 6376 3.3.3 asks verifiers for no more than 2048; above 4096 many fail and the record outgrows a DNS answer."""


class KeyFileError(Exception):
    """One line that names the file and says what to do."""


def read_key(file: Path) -> PrivateKey:
    """Raises KeyFileError."""
    return _parse(file, _read(file))


def _read(file: Path) -> bytes:
    # O_NONBLOCK: a FIFO in the key's place must not hang the start.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(file, flags)
    except OSError as error:
        raise KeyFileError(_unopened(file, error)) from None
    try:
        fault = _fault(os.fstat(descriptor))
        if fault:
            raise KeyFileError(f"DKIM key {_shown(file)}: {fault}")
        return os.read(descriptor, FILE_LIMIT)
    finally:
        os.close(descriptor)


def _unopened(file: Path, error: OSError) -> str:
    if file.is_symlink():
        return f"DKIM key {_shown(file)}: is a symbolic link; name the file itself in the configuration"
    return f"DKIM key {_shown(file)}: {error.strerror}; make it readable for the engine's user, or correct the path"


def _fault(status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file; name a PEM file"
    if status.st_uid not in {0, os.geteuid()}:
        return f"belongs to uid {status.st_uid}; chown it to uid {os.geteuid()} (the engine's user)"
    if status.st_mode & 0o077:
        return f"may be read by others (mode {stat.S_IMODE(status.st_mode):04o}); chmod 600"
    if status.st_size > FILE_LIMIT:
        return f"has {status.st_size} bytes; a key has less than {FILE_LIMIT}, name a PEM file"
    return ""


def _parse(file: Path, content: bytes) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except TypeError:
        fault = "is encrypted; remove the passphrase with: openssl pkey -in OLD -out NEW"
        raise KeyFileError(f"DKIM key {_shown(file)}: {fault}") from None
    except (ValueError, UnsupportedAlgorithm):
        fault = "holds no private key in PEM form; make one with: sokutatsu dkim keygen"
        raise KeyFileError(f"DKIM key {_shown(file)}: {fault}") from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if not isinstance(key, RSAPrivateKey):
        raise KeyFileError(f"DKIM key {_shown(file)}: is neither RSA nor Ed25519; make one with: sokutatsu dkim keygen")
    if not RSA_SMALLEST <= key.key_size <= RSA_LARGEST:
        fault = f"is RSA with {key.key_size} bits; take {RSA_SMALLEST} (sokutatsu dkim keygen), at most {RSA_LARGEST}"
        raise KeyFileError(f"DKIM key {_shown(file)}: {fault}")
    return key


def _shown(file: Path) -> str:
    """The path as it may stand in a log line."""
    text = ascii(str(file))[1:-1]
    return text if len(text) <= 200 else "..." + text[-197:]


def generate_key(algorithm: str) -> PrivateKey:
    """`algorithm` is "rsa" (2048 bits) or "ed25519"."""
    if algorithm == "ed25519":
        return Ed25519PrivateKey.generate()
    if algorithm == "rsa":
        return generate_private_key(public_exponent=65537, key_size=RSA_SMALLEST)
    raise ValueError(f"algorithm {algorithm!r} is neither rsa nor ed25519")


def key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def algorithm_of(key: PrivateKey) -> str:
    return "rsa-sha256" if isinstance(key, RSAPrivateKey) else "ed25519-sha256"


def signature_size(key: PrivateKey) -> int:
    return (key.key_size + 7) // 8 if isinstance(key, RSAPrivateKey) else 64


def public_text(key: PrivateKey) -> str:
    """p= of the record: SubjectPublicKeyInfo for RSA, the bare 32 bytes for Ed25519 (RFC 8463 4)."""
    if isinstance(key, RSAPrivateKey):
        raw = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    else:
        raw = key.public_key().public_bytes_raw()
    return base64.b64encode(raw).decode("ascii")


def dns_record(key: PrivateKey) -> str:
    kind = "rsa" if isinstance(key, RSAPrivateKey) else "ed25519"
    return f"v=DKIM1; k={kind}; h=sha256; p={public_text(key)}"
