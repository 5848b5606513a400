"""Key files: what is refused, and that each refusal names the file and the remedy without showing content."""

import base64
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.signer.keys import (
    KeyFileError,
    algorithm_of,
    dns_record,
    generate_key,
    key_pem,
    public_text,
    read_key,
    signature_size,
)

ED25519 = generate_key("ed25519")
PEM = key_pem(ED25519)


def written(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    file = folder / "key.pem"
    file.write_bytes(content)
    file.chmod(mode)
    return file


def refused(file: Path) -> str:
    with pytest.raises(KeyFileError) as caught:
        read_key(file)
    text = str(caught.value)
    assert "\n" not in text
    assert file.name in text
    return text


def test_a_private_file_is_read(tmp_path: Path) -> None:
    for mode in (0o600, 0o400):
        assert public_text(read_key(written(tmp_path, PEM, mode))) == public_text(ED25519)
        (tmp_path / "key.pem").unlink()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o610, 0o660])
def test_others_may_not_have_any_access(tmp_path: Path, mode: int) -> None:
    text = refused(written(tmp_path, PEM, mode))
    assert f"{mode:04o}" in text
    assert "chmod 600" in text


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link.pem"
    link.symlink_to(written(tmp_path, PEM))
    assert "symbolic link" in refused(link)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "missing.pem")
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    assert "not a regular file" in refused(folder)


def test_a_fifo_does_not_hang_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert "not a regular file" in refused(tmp_path / "fifo")


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, PEM)
    owner = file.stat().st_uid
    if owner == 0:
        os.chown(file, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert "chown" in refused(file)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    assert "70000 bytes" in refused(written(tmp_path, b"x" * 70_000))


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nsecret\n", PEM[:-40], os.urandom(99)])
def test_what_is_no_pem_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    text = refused(written(tmp_path, content))
    assert "sokutatsu dkim keygen" in text
    assert "secret" not in text


def test_an_encrypted_key_is_refused(tmp_path: Path) -> None:
    encryption = serialization.BestAvailableEncryption(b"passphrase")
    content = ED25519.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    assert "encrypted" in refused(written(tmp_path, content))


def test_other_kinds_and_sizes_are_refused(tmp_path: Path) -> None:
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    assert "neither RSA nor Ed25519" in refused(
        written(tmp_path, ec.generate_private_key(ec.SECP256R1()).private_bytes(*pem))
    )
    small = rsa.generate_private_key(65537, 1024)
    assert "1024 bits" in refused(written(tmp_path, small.private_bytes(*pem)))


def test_a_path_of_control_characters_stays_one_line(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError) as caught:
        read_key(tmp_path / "a\nb\x1b[31m")
    assert "a\\nb\\x1b[31m" in str(caught.value)
    with pytest.raises(KeyFileError) as caught:
        read_key(tmp_path / ("long" * 60))
    assert len(str(caught.value)) < 400


def test_records_are_those_of_rfc_6376_and_8463() -> None:
    key = generate_key("rsa")
    assert isinstance(key, rsa.RSAPrivateKey)
    assert (key.key_size, algorithm_of(key), signature_size(key)) == (2048, "rsa-sha256", 256)
    record = dns_record(key)
    assert record.startswith("v=DKIM1; k=rsa; h=sha256; p=MII")
    loaded = serialization.load_der_public_key(base64.b64decode(record.partition("p=")[2]))
    assert isinstance(loaded, rsa.RSAPublicKey)
    assert loaded.public_numbers() == key.public_key().public_numbers()
    assert isinstance(ED25519, Ed25519PrivateKey)
    assert (algorithm_of(ED25519), signature_size(ED25519)) == ("ed25519-sha256", 64)
    raw = base64.b64encode(ED25519.public_key().public_bytes_raw()).decode()
    assert dns_record(ED25519) == f"v=DKIM1; k=ed25519; h=sha256; p={raw}"


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="neither rsa nor ed25519"):
        generate_key("dsa")
