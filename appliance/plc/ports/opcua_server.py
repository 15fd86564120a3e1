"""The bridge's OPC UA server; the PLC is a client that reads the line's nodes and writes its own, which alone are writable.

All nodes are written in one step of the server's loop, and a Read request is answered in one: a PLC that reads all it needs
with one request never sees half of two writings.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass
from pathlib import Path

from asyncua import ua
from asyncua.common.node import Node
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_server import InternalServer
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager

from appliance.host.process_table import OPCUA_SERVER
from appliance.host.time_limits import OPCUA_START_S, PLC_ANSWER_S
from appliance.plc import PlcError
from appliance.plc.image import LineBlock, PlcBlock
from appliance.plc.ports.loop_thread import LoopThread
from appliance.plc.ports.opcua_nodes import NAMESPACE, line_values, node_id, plc_nodes

APPLICATION = "urn:tfa-inspect:bridge"
POLICIES = [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt, ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt]

logging.getLogger("asyncua").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Secured:
    """What encrypted sessions need."""

    certificate: Path
    private_key: Path
    clients: Path  # folder of the certificates, .der, of those who are let in


class Admitted(UserManager):
    """Lets in the clients whose certificate is known: the one that their channel is encrypted with."""

    def __init__(self, certificates: frozenset[bytes]) -> None:
        self._certificates = certificates

    def get_user(
        self,
        iserver: InternalServer,
        username: str | None = None,
        password: str | None = None,
        certificate: bytes | None = None,
    ) -> User | None:
        """Asked by the server at the beginning of each session; None refuses."""
        return User(role=UserRole.User) if certificate in self._certificates else None


class OpcUaServer:
    """The address space of `opcua_nodes`, served until it is closed."""

    def __init__(self, address: str, port: int, line: str, secured: Secured | None) -> None:
        """``line`` is the line's name, which the server shows."""
        self._address, self._port, self._line, self._secured = address, port, line, secured
        self._where = f"{address}:{port}"
        self._loop: LoopThread | None = None
        self._server: Server | None = None
        self._nodes: dict[str, ua.NodeId] = {}
        self._shown: dict[str, ua.Variant] = {}

    def connect(self) -> None:
        """See `Plc.connect`."""
        self._shown = {}
        try:
            # Asked first: to build the address space takes seconds.
            socket.create_server((self._address, self._port)).close()
            self._loop = LoopThread(OPCUA_SERVER.name)
            self._loop.call(self._serve(), OPCUA_START_S)
        except (OSError, TimeoutError) as error:
            raise PlcError(f"{self._where} cannot be bound ({error})") from error

    def exchange(self, line: LineBlock) -> PlcBlock:
        """See `Plc.exchange`; our block is read by the PLC when it likes."""
        if self._loop is None:
            raise PlcError(f"{self._where} is not served")
        try:
            return self._loop.call(self._exchange(line), PLC_ANSWER_S)
        except TimeoutError as error:
            raise PlcError(f"{self._where}: the server does not answer") from error

    def close(self) -> None:
        """See `Plc.close`."""
        if self._loop is not None:
            if self._server is not None and self._server.bserver is not None:
                self._loop.call(self._server.stop(), OPCUA_START_S)
            self._loop.close()
        self._loop = self._server = None

    async def _serve(self) -> None:
        secured = self._secured
        known = frozenset(file.read_bytes() for file in secured.clients.glob("*.der")) if secured else None
        server = Server(user_manager=Admitted(known) if known is not None else None)
        await server.init()
        server.set_endpoint(f"opc.tcp://{self._where}/")
        server.set_server_name(f"tfa-inspect line {self._line}")
        server.allow_remote_admin(False)
        await server.set_application_uri(APPLICATION)
        server.set_security_policy(POLICIES if secured else [ua.SecurityPolicyType.NoSecurity])
        server.set_identity_tokens([ua.AnonymousIdentityToken])
        if secured:
            await server.load_certificate(secured.certificate)
            await server.load_private_key(secured.private_key)
        await self._build(server, await server.register_namespace(NAMESPACE))
        await server.start()
        self._server = server

    async def _build(self, server: Server, namespace: int) -> None:
        folders: dict[str, Node] = {}

        async def folder(path: str) -> Node:
            if path not in folders:
                above, _, name = path.rpartition(".")
                parent = await folder(above) if above else server.nodes.objects
                folders[path] = await parent.add_object(node_id(path, namespace), ua.QualifiedName(name, namespace))
            return folders[path]

        shown = line_values(LineBlock())
        written = {path: ua.Variant(0, kind) for path, kind in plc_nodes().items()}
        for path, value in (shown | written).items():
            above, _, name = path.rpartition(".")
            parent = await folder(above)
            node = await parent.add_variable(node_id(path, namespace), ua.QualifiedName(name, namespace), value)
            self._nodes[path] = node.nodeid
            if path in written:
                await node.set_writable()

    async def _exchange(self, line: LineBlock) -> PlcBlock:
        assert self._server is not None, "served since connect"
        values = line_values(line)
        for path, value in values.items():
            if self._shown.get(path) != value:
                await self._server.write_attribute_value(self._nodes[path], ua.DataValue(value))
        self._shown = values
        read = [self._server.read_attribute_value(self._nodes[path]).Value for path in plc_nodes()]
        await asyncio.sleep(0)  # what the writing has set off for subscriptions goes out
        return PlcBlock(*map(_number, read))


def _number(value: ua.Variant | None) -> int:
    """What a PLC has written; 0, which says nothing, for an array or no value at all, which asyncua lets it write too."""
    return value.Value if value is not None and isinstance(value.Value, int) else 0
