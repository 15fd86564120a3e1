"""The table `[publish]` of a line's file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from appliance.config.plc import MAX_PORT

Endpoint = Annotated[str, Meta(pattern=r"^(tcp://[^:/]+:\d{1,5}|ipc://.+)$")]
INSECURE = "anyone on this network may read the verdicts and pretend to be this line"  # to be said in the line's file


def is_local(endpoint: str) -> bool:
    """Whether only this box can reach an endpoint."""
    host = endpoint.removeprefix("tcp://").rsplit(":", 1)[0]
    return endpoint.startswith("ipc://") or host == "localhost" or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


class PublishConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where verdicts are published. Beyond loopback and ipc, `keys` is needed, or the words of INSECURE."""

    verdicts: Annotated[
        Endpoint, Meta(description="where verdicts, heartbeats and alarms are published: tcp://ADDRESS:PORT or ipc://FILE")
    ] = "tcp://127.0.0.1:5563"
    snapshot: Annotated[Endpoint, Meta(description="where what was missed is answered; the same forms")] = (
        "tcp://127.0.0.1:5564"
    )
    keys: Annotated[Path | None, Meta(description="folder of CURVE keys, made by `inspect keys`")] = None
    insecure: Annotated[str | None, Meta(description=f"without keys beyond loopback, literally: {INSECURE}")] = None

    def __post_init__(self) -> None:
        """Refuse a port that there is not, one address for two sockets, and an open network without keys."""
        for endpoint in (self.verdicts, self.snapshot):
            if endpoint.startswith("tcp://") and not 1 <= int(endpoint.rsplit(":", 1)[1]) <= MAX_PORT:
                raise ValueError(f"{endpoint}: a port is 1 to {MAX_PORT}")
        if self.verdicts == self.snapshot:
            raise ValueError("verdicts and snapshot must be two addresses")
        if self.insecure not in (None, INSECURE):
            raise ValueError(f'insecure must say exactly "{INSECURE}", or be left out')
        secured = self.keys is not None or self.insecure is not None
        if not secured and not all(is_local(endpoint) for endpoint in (self.verdicts, self.snapshot)):
            raise ValueError(
                "bound beyond loopback without keys: make some with `inspect keys`, and set publish.keys to their folder; "
                f'or take the risk in these words: insecure = "{INSECURE}"'
            )
