"""The PLC that is a client of the bridge's OPC UA server: one Write and one Read request a cycle."""

from __future__ import annotations

import logging
from dataclasses import astuple

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.ua.uaerrors import UaError

from appliance.config.line import Line
from appliance.config.plc import OpcUaConfig
from appliance.host.process_table import OPCUA_CLIENT
from appliance.host.time_limits import PLC_ANSWER_S
from appliance.plc import PlcError
from appliance.plc.image import LINE_FIELDS, SLOT_FIELDS, LineBlock, PlcBlock, Slot, line_block
from appliance.plc.loop_thread import LoopThread
from appliance.plc.opcua_nodes import NAMESPACE, line_paths, node_id, plc_nodes
from appliance.plc.sim import Side, reachable
from engines.common.errors import ConfigError

ERRORS = (OSError, TimeoutError, UaError)

logging.getLogger("asyncua").addHandler(logging.NullHandler())


class OpcUaClient:
    """One session; without encryption."""

    def __init__(self, config: OpcUaConfig) -> None:
        self._where = f"{reachable(config.address)}:{config.port}"
        self._loop: LoopThread | None = None
        self._client: Client | None = None
        self._read: list[Node] = []
        self._written: list[Node] = []

    def connect(self) -> None:
        """See `Side.connect`."""
        self._loop = LoopThread(OPCUA_CLIENT.name)
        try:
            self._loop.call(self._connect(), PLC_ANSWER_S)
        except ERRORS as error:
            raise PlcError(f"{self._where} does not answer ({error})") from error

    def exchange(self, plc: PlcBlock) -> LineBlock:
        """See `Side.exchange`."""
        if self._loop is None:
            raise PlcError(f"{self._where} is not connected")
        try:
            return self._loop.call(self._exchange(plc), PLC_ANSWER_S)
        except ERRORS as error:
            raise PlcError(f"{self._where}: {error or type(error).__name__}") from error

    def close(self) -> None:
        """See `Side.close`."""
        if self._loop is not None:
            if self._client is not None:
                self._loop.call(self._client.disconnect(), 3 * PLC_ANSWER_S)
            self._loop.close()
        self._loop = self._client = None

    async def _connect(self) -> None:
        client = Client(f"opc.tcp://{self._where}/", timeout=PLC_ANSWER_S)
        await client.connect()
        self._client = client
        namespace = await client.get_namespace_index(NAMESPACE)
        self._read = [client.get_node(node_id(path, namespace)) for path in line_paths()]
        self._written = [client.get_node(node_id(path, namespace)) for path in plc_nodes()]

    async def _exchange(self, plc: PlcBlock) -> LineBlock:
        assert self._client is not None, "connected"
        values = [ua.DataValue(ua.Variant(value, kind)) for value, kind in zip(astuple(plc), plc_nodes().values(), strict=True)]
        await self._client.write_values(self._written, values)
        read = await self._client.read_values(self._read)
        head, rest, width = read[: len(LINE_FIELDS)], read[len(LINE_FIELDS) :], len(SLOT_FIELDS)
        return line_block(head, tuple(Slot(*rest[i : i + width]) for i in range(0, len(rest), width)))


def make(line: Line) -> Side:
    """The PLC's side. Raises ConfigError where the line wants certificates."""
    config = line.config.plc
    assert isinstance(config, OpcUaConfig), "the table of kinds has found this file"
    if config.certificate is not None:
        raise ConfigError(
            f"{line.file}: plc: plc-sim has no certificate; leave certificate, private_key and clients out to try"
        )
    return OpcUaClient(config)
