"""OPC UA: the bridge is the server, the PLC its client."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from appliance.config.plc import PlcConfig, Port, ThisBox
from appliance.plc import Plc
from appliance.plc.sim import Side, reachable
from engines.common.errors import ConfigError


class Config(PlcConfig, frozen=True, forbid_unknown_fields=True, tag="opcua", kw_only=True):
    """A PLC that is an OPC UA client: the bridge is the server."""

    address: ThisBox
    port: Annotated[Port, Meta(description="of this box, which the PLC connects to")] = 4840
    certificate: Annotated[Path | None, Meta(description="the server's certificate, .der; sessions are then encrypted")] = None
    private_key: Annotated[Path | None, Meta(description="its private key, .pem")] = None
    clients: Annotated[Path | None, Meta(description="folder with the certificates, .der, of the clients let in")] = None

    def __post_init__(self) -> None:
        """Refuse half of what encryption needs."""
        if len({value is None for value in (self.certificate, self.private_key, self.clients)}) > 1:
            raise ValueError("certificate, private_key and clients belong together: give all three or none")

    @property
    def where(self) -> str:
        """See `AnyPlcConfig.where`."""
        return f"{self.address}:{self.port}"


def make(config: Config, line: str, file: Path) -> Plc:
    """The bridge's server. Raises ConfigError when a file for encryption is not there."""
    from appliance.plc.ports.opcua_server import OpcUaServer, Secured

    secured = None
    if config.certificate and config.private_key and config.clients:
        for path in (config.certificate, config.private_key, config.clients):
            if not path.exists():
                raise ConfigError(f"{file}: plc: {path} is not there; make it, or leave certificates out")
        secured = Secured(config.certificate, config.private_key, config.clients)
    return OpcUaServer(config.address, config.port, line, secured)


def make_side(config: Config, file: Path) -> Side:
    """The PLC, a client. Raises ConfigError where the line wants certificates."""
    from appliance.plc.ports.opcua_client import OpcUaClient

    if config.certificate is not None:
        raise ConfigError(f"{file}: plc: plc-sim has no certificate; leave certificate, private_key and clients out to try")
    return OpcUaClient(f"{reachable(config.address)}:{config.port}")
