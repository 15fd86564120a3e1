"""The PLC that is a client of the bridge's OPC UA server: one Write and one Read request a cycle."""

from __future__ import annotations

import logging
from dataclasses import astuple

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.ua.uaerrors import UaError

from appliance.host.process_table import OPCUA_CLIENT
from appliance.host.time_limits import PLC_ANSWER_S
from appliance.plc import PlcError
from appliance.plc.image import LINE_FIELDS, SLOT_FIELDS, LineBlock, PlcBlock, Slot, line_block
from appliance.plc.ports.loop_thread import LoopThread
from appliance.plc.ports.opcua_nodes import NAMESPACE, line_paths, node_id, plc_nodes

ERRORS = (OSError, TimeoutError, UaError)

logging.getLogger("asyncua").addHandler(logging.NullHandler())


class OpcUaClient:
    """One session; without encryption."""

    def __init__(self, where: str) -> None:
        """``where``: address and port of the bridge."""
        self._where = where
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
