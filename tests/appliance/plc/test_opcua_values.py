"""What an OPC UA client may write into the PLC's nodes, and what the bridge then hears."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from asyncua import ua
from asyncua.sync import Client
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from appliance.plc.image import LineBlock, PlcBlock
from tests.appliance.conftest import MakeLine, plc_of
from tests.appliance.plc.test_kinds import table_of

UINT32 = ua.VariantType.UInt32


def test_what_is_no_number_counts_as_zero_and_a_wrong_type_is_refused(
    make_line: MakeLine, free_ports: Callable[[int], list[int]]
) -> None:
    (port,) = free_ports(1)
    plc = plc_of(make_line(plc=table_of("opcua", port)))
    try:
        plc.connect()
        with Client(f"opc.tcp://127.0.0.1:{port}/") as session:
            at = session.get_namespace_index("urn:tfa-inspect")
            node = session.get_node(f"ns={at};s=VisionSystem.Plc.AcknowledgedPart")
            for odd in (
                ua.DataValue(ua.Variant([1, 2], UINT32)),
                ua.DataValue(ua.Variant([], UINT32)),
                ua.DataValue(ua.Variant(7, UINT32), StatusCode=ua.StatusCode(ua.UInt32(StatusCodes.Bad))),
            ):
                node.write_value(odd)
                assert plc.exchange(LineBlock()) == PlcBlock()
                node.write_value(ua.Variant(70_000, UINT32))
                assert plc.exchange(LineBlock()) == PlcBlock(part_id=70_000)
            for kind in (ua.VariantType.Int32, ua.VariantType.UInt16, ua.VariantType.Int64):
                with pytest.raises(UaStatusCodeError):
                    node.write_value(ua.Variant(5, kind))
            assert plc.exchange(LineBlock()) == PlcBlock(part_id=70_000)
    finally:
        plc.close()
