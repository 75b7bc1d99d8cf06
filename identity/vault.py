"""Encryption of what is kept on a person: a data key for each person, wrapped by the service's own key.

The service's key (32 bytes, a file that is never in the database's backup) wraps each person's data key with AES-GCM; the data key seals
the person's record and templates. Overwriting the wrapped data key makes everything sealed by it unreadable, in backups of the sealed
data too: that is the deletion.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12


class VaultError(Exception):
    """The key can't be used, or something sealed can't be opened with it; the sentence says what to do next."""


class Vault:
    """The service's own key, and what is derived from it. repr() shows nothing."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise VaultError(f"the service's key must have {KEY_BYTES} bytes, this one has {len(key)}")
        self._wrapping = AESGCM(HKDF(SHA256(), KEY_BYTES, None, b"palmpay person keys 1").derive(key))
        self.gallery_secret = HKDF(SHA256(), KEY_BYTES, None, b"palmpay gallery 1").derive(key)

    def new_key(self, person: str) -> tuple[bytes, DataKey]:
        """A fresh data key for a person: wrapped (to be stored) and ready to use."""
        key = secrets.token_bytes(KEY_BYTES)
        return _seal(self._wrapping, key, b"key|" + person.encode()), DataKey(key, person)

    def unwrap(self, wrapped: bytes, person: str) -> DataKey:
        """A person's data key. Raises VaultError where it was wrapped by another service key or for another person."""
        return DataKey(_open(self._wrapping, wrapped, b"key|" + person.encode()), person)


class DataKey:
    """One person's data key. Everything sealed is bound to the person and to what it is."""

    def __init__(self, key: bytes, person: str) -> None:
        self._cipher, self._person = AESGCM(key), person

    def seal(self, what: str, plain: bytes) -> bytes:
        """Encrypt; `what` says which thing of the person this is and must be given again to open it."""
        return _seal(self._cipher, plain, f"{what}|{self._person}".encode())

    def open(self, what: str, sealed: bytes) -> bytes:
        """Decrypt. Raises VaultError."""
        return _open(self._cipher, sealed, f"{what}|{self._person}".encode())


def make_key_file(path: Path) -> None:
    """Write a new service key, readable to its owner only. Raises FileExistsError: a key is never overwritten."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())


def open_vault(path: Path) -> Vault:
    """Read the service key. Raises VaultError."""
    try:
        mode = path.stat().st_mode
        key = path.read_bytes()
    except OSError as error:
        raise VaultError(
            f"{path}: the service's key can't be read ({error.strerror}). Without it nobody can be recognised."
        ) from None
    if mode & 0o077:
        raise VaultError(f"{path}: others may read the service's key. Run: chmod 600 {path}")
    return Vault(key)


def _seal(cipher: AESGCM, plain: bytes, bound_to: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, bound_to)


def _open(cipher: AESGCM, sealed: bytes, bound_to: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError):
        raise VaultError(
            "a record can't be opened with this key. Check [storage] key_file: it must be the one the people were enrolled with."
        ) from None
