"""Signatures of decisions with Ed25519 keys in OpenSSH format.

Public keys are in git, serving/signers/NAME.pub. Private keys are outside the project: in the file that
TILTYARD_SIGNING_KEY names, or in ~/.config/tiltyard/signing. Decisions are signed if one of them belongs to a signer.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tiltyard import files
from tiltyard.errors import RegistryError
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


SIGNER_NAME = re.compile(r"[\w@-][\w.@-]{0,99}")
KEY_VARIABLE = "TILTYARD_SIGNING_KEY"
PURPOSE = b"tiltyard decision 1\n"  # signatures made for another purpose are not valid here


@dataclass(frozen=True)
class Signer:
    """The name and private key of a signer."""

    name: str
    key: Ed25519PrivateKey

    def sign(self, chain: str) -> str:
        """Sign the hash of a line, which covers the decision and all lines before it."""
        return base64.b64encode(self.key.sign(PURPOSE + chain.encode())).decode()


def create_key(workspace: Workspace, name: str) -> tuple[Path, Path]:
    """Create a key, or use the existing one of that name, and add its public half to the project's signers."""
    if not SIGNER_NAME.fullmatch(name):
        raise RegistryError(f"expected a name of letters, digits, dots and dashes; received {name!r}")
    private = Path(os.environ.get(KEY_VARIABLE) or _key_folder() / name)
    public = workspace.signers / f"{name}.pub"
    if public.is_file() and not private.is_file():
        raise RegistryError(
            f"{name} has a key already, {public.relative_to(workspace.root)}; its private half is not here",
            hint=f"copy it to {private}, or choose another name, such as {name}-2",
        )
    if not private.is_file():
        with contextlib.suppress(FileExistsError):  # created by another process meanwhile
            files.write_private_file(private, _generate_key(), replace=False)
    line = _public_line(_read_private(private), name)
    if public.is_file() and _public_bytes_of_file(public) != _public_bytes(_read_private(private)):
        raise RegistryError(
            f"{public.relative_to(workspace.root)} does not belong to {private}",
            hint=f"choose another name, such as {name}-2: lines that were signed before keep their key",
        )
    files.write_text(public, line)
    return private, public


def find_signer(workspace: Workspace) -> Signer | None:
    """Return the signer whose private key is on this machine; None if no key belongs to a signer of the project."""
    names_by_key = {_public_bytes_of_file(path): path.stem for path in _public_keys(workspace)}
    if named := os.environ.get(KEY_VARIABLE):
        key = _read_private(Path(named))
        if (name := names_by_key.get(_public_bytes(key))) is None:
            raise RegistryError(
                f"the key of {KEY_VARIABLE} belongs to no signer of this project: expected one of "
                f"{', '.join(sorted(names_by_key.values())) or 'none'}",
                hint="add it: tiltyard key NAME --sign",
            )
        return Signer(name, key)
    for name in sorted(names_by_key.values()):
        if (path := _key_folder() / name).is_file() and names_by_key.get(
            _public_bytes(key := _read_private(path))
        ) == name:
            return Signer(name, key)
    return None


def require_key(workspace: Workspace, task: str, *, required: bool) -> None:
    """Refuse to decide about a task without a key, if signatures are required."""
    if required and find_signer(workspace) is None:
        raise RegistryError(
            f"gate.signed: decisions about {task} must be signed; no key of a signer was found here",
            hint=f"make one: tiltyard key NAME --sign; or name your key file in {KEY_VARIABLE}",
        )


def signature_fault(workspace: Workspace, name: str, chain: str, signature: str) -> str:
    """Return what is wrong with a signature; empty if the named signer made it."""
    from cryptography.exceptions import InvalidSignature

    path = workspace.signers / f"{name}.pub"
    if not SIGNER_NAME.fullmatch(name) or not path.is_file():
        return f"there is no public key of {name[:80]} in {workspace.signers.relative_to(workspace.root)}"
    try:
        _read_public(path).verify(base64.b64decode(signature, validate=True), PURPOSE + chain.encode())
    except (InvalidSignature, binascii.Error, ValueError):
        return f"it is not the signature of {name} for this line"
    except RegistryError as error:
        return error.message
    return ""


def _key_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "tiltyard" / "signing"


def _public_keys(workspace: Workspace) -> list[Path]:
    return sorted(workspace.signers.glob("*.pub"))


def _generate_key() -> bytes:
    """Return a new private key in OpenSSH format."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    openssh, none = serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    return Ed25519PrivateKey.generate().private_bytes(serialization.Encoding.PEM, openssh, none)


def _read_private(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        if path.stat().st_mode & 0o077:
            raise RegistryError(f"{path} can be read by others: expected mode 600", hint=f"chmod 600 {path}")
        key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise RegistryError(f"the signing key {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise RegistryError(
            f"{path} is not a signing key: expected a private Ed25519 key of OpenSSH, without a passphrase",
            hint="make one: tiltyard key NAME --sign",
        )
    return key


def _read_public(path: Path) -> Ed25519PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_ssh_public_key(files.read_bytes(path))
    except (OSError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise RegistryError(
            f"{path} is not a public key: expected a line that begins with ssh-ed25519",
            hint=f"restore the last valid one: git checkout -- {path}",
        )
    return key


def _public_bytes_of_file(path: Path) -> bytes:
    return _read_public(path).public_bytes_raw()


def _public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _public_line(key: Ed25519PrivateKey, name: str) -> str:
    from cryptography.hazmat.primitives import serialization

    openssh = serialization.PublicFormat.OpenSSH
    return f"{key.public_key().public_bytes(serialization.Encoding.OpenSSH, openssh).decode()} {name}\n"
