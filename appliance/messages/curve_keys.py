"""CURVE keys: who may listen to a line that is bound beyond this box.

`inspect keys DIR` makes the folder: the line's pair (`line.key`, `line.key_secret`) and one pair for each client below
`clients/`; only clients whose public key lies there are let in.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NamedTuple

import zmq
import zmq.auth

from appliance.host.process_table import KEYS
from engines.common.errors import ConfigError

LINE, CLIENTS = "line", "clients"


class KeyPair(NamedTuple):
    """A public key's file; the secret one lies beside it."""

    public: Path
    made: bool  # False: it was there, and was kept


def make_keys(folder: Path, clients: list[str]) -> list[KeyPair]:
    """Make the line's pair if there is none, and a pair for each new client."""
    (folder / CLIENTS).mkdir(parents=True, exist_ok=True)
    pairs = []
    for place, name in [(folder, LINE), *((folder / CLIENTS, client) for client in clients)]:
        missing = not (place / f"{name}.key_secret").exists()
        if missing:
            _, secret = zmq.auth.create_certificates(place, name)
            Path(secret).chmod(0o600)
        pairs.append(KeyPair(place / f"{name}.key", missing))
    return pairs


class ServerKeys:
    """The line's side: protects sockets that are going to be bound, and admits the clients of the allow-list."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], folder: Path) -> None:
        """Raises ConfigError when the folder holds no keys."""
        from zmq.auth.thread import ThreadAuthenticator  # brings asyncio and ssl, which a line without keys does not need

        make = shlex.join(["inspect", "keys", str(folder)])
        self._public, self._secret = _load(folder / f"{LINE}.key_secret", f"make it with: {make}")
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.start()
        self._authenticator.thread.name = KEYS.name
        self._authenticator.configure_curve(domain="*", location=str(folder / CLIENTS))

    def protect(self, socket: zmq.Socket[bytes]) -> None:
        """Let only listed clients connect."""
        socket.curve_publickey, socket.curve_secretkey, socket.curve_server = self._public, self._secret, True

    def close(self) -> None:
        """Stop admitting."""
        self._authenticator.stop()


def use_client_keys(socket: zmq.Socket[bytes], folder: Path, client: str) -> None:
    """Make a socket connect as ``client`` to the line of this folder. Raises ConfigError when a key is missing."""
    make = shlex.join(["inspect", "keys", str(folder), "--client", client])
    on_another = "on another box, copy it from the line's"
    secret = folder / CLIENTS / f"{client}.key_secret"
    socket.curve_publickey, socket.curve_secretkey = _load(secret, f"{on_another}; on the line's, make it with: {make}")
    socket.curve_serverkey = _load(folder / f"{LINE}.key", on_another, public_only=True)[0]


def _load(file: Path, mend: str, public_only: bool = False) -> tuple[bytes, bytes]:
    try:
        if not file.exists():
            raise ConfigError(f"{file}: no such key; {mend}")
        public, secret = zmq.auth.load_certificate(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: no usable key ({error}); mend its rights, or remove it, and then: {mend}") from error
    if secret is None and not public_only:
        raise ConfigError(f"{file}: holds no secret key; copy the whole .key_secret file there")
    return public, secret or b""
