"""The ports to PLCs by themselves: what they refuse, whom they let in, and what they say of it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.config.line import Line, need_plc
from appliance.plc import PlcError
from appliance.plc.bridge import result_of
from appliance.plc.image import STATE_CODES, LineBlock, PlcBlock
from appliance.plc.sim import make_side
from engines.common.errors import ConfigError
from tests.appliance.conftest import MakeLine, make_verdict, plc_of, plc_sim
from tests.appliance.plc.test_kinds import table_of
from tests.house.base_only import Absent


@pytest.fixture
def modbus(make_line: MakeLine, free_ports: Callable[[int], list[int]]) -> Line:
    """A line with a PLC that is a Modbus server."""
    return make_line(plc=table_of("modbus", free_ports(1)[0]))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "plc.jsonl"


def raw(line: Line) -> Any:
    plc = plc_of(line)
    plc.connect()
    return plc


def test_a_plc_that_has_no_such_registers_refuses_by_name(modbus: Line, make_line: MakeLine, log: Path) -> None:
    port = int(need_plc(modbus).where.rpartition(":")[2])
    with plc_sim(modbus, log):
        shifted = make_line(plc=table_of("modbus", port) | {"base": 5_000})
        plc = raw(shifted)
        with pytest.raises(PlcError, match=rf"127\.0\.0\.1:{port} refuses to have registers 5000 to 5082 written"):
            plc.exchange(LineBlock())
        plc.close()
        plc.close()


def test_an_s7_without_the_data_block_is_told_by_its_number(
    make_line: MakeLine, free_ports: Callable[[int], list[int]], log: Path
) -> None:
    table = table_of("s7", free_ports(1)[0])
    with plc_sim(make_line(plc=table), log):
        plc = raw(make_line(plc=table | {"db": 8}))
        with pytest.raises(PlcError, match=r"DB8 from byte 20: "):
            plc.exchange(LineBlock())
        plc.close()


def test_a_poller_cannot_write_the_lines_registers(make_line: MakeLine, free_ports: Callable[[int], list[int]]) -> None:
    from pymodbus.client import ModbusTcpClient

    (port,) = free_ports(1)
    plc = raw(make_line(plc=table_of("modbus-server", port) | {"base": 100}))
    client = ModbusTcpClient("127.0.0.1", port=port, retries=0)
    try:
        assert plc.exchange(LineBlock(heartbeat=5, valid=1)) == PlcBlock()
        assert client.connect()
        assert client.read_holding_registers(100, count=3, device_id=255).registers == [5, 0, 1]
        for address, values in ((100, [9]), (182, [1, 1]), (102, [0])):
            assert client.write_registers(address, values).isError()
            assert client.write_register(address, values[0]).isError()
        assert not client.write_registers(183, [1, 2, 3, 4, 5, 6, 7, 8]).isError()
        assert plc.exchange(LineBlock(heartbeat=6, valid=1)) == PlcBlock(1, 0x2_0003, 0x4_0005, 0x6_0007, 8)
        assert client.read_holding_registers(100, count=3).registers == [6, 0, 1]
    finally:
        client.close()
        plc.close()


def make_certificate(folder: Path, name: str) -> str:
    """A client's or server's key and certificate; returns what asyncua's client calls its security."""
    from asyncua.crypto.cert_gen import setup_self_signed_certificate
    from cryptography.x509.oid import ExtendedKeyUsageOID

    folder.mkdir(parents=True, exist_ok=True)
    key, certificate = folder / f"{name}.pem", folder / f"{name}.der"
    use = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    names = {"organizationName": "plant"}
    asyncio.run(setup_self_signed_certificate(key, certificate, "urn:tfa-inspect:bridge", "localhost", use, names))
    return f"Basic256Sha256,SignAndEncrypt,{certificate},{key}"


def test_a_known_opc_ua_client_finds_the_names_of_40100_and_writes_the_plcs_nodes_only(
    make_line: MakeLine, free_ports: Callable[[int], list[int]], tmp_path: Path
) -> None:
    from asyncua import ua
    from asyncua.sync import Client

    (port,) = free_ports(1)
    keys = tmp_path / "lines" / "keys"
    make_certificate(keys, "server")
    known, stranger = make_certificate(keys / "clients", "plc"), make_certificate(tmp_path, "stranger")
    names = {"certificate": "keys/server.der", "private_key": "keys/server.pem", "clients": "keys/clients"}
    plc = raw(make_line(plc=table_of("opcua", port) | names))
    slots = [result_of(make_verdict(part, 7)) for part in range(8, 16)]
    block = LineBlock(1, STATE_CODES["running"], 1, 1, 0, 7, 15, 15, tuple(slots))

    def client(security: str) -> Client:
        made = Client(f"opc.tcp://127.0.0.1:{port}/", timeout=10)
        made.application_uri = "urn:tfa-inspect:bridge"
        made.set_security_string(security)
        return made

    try:
        assert plc.exchange(block) == PlcBlock()
        for refused in (stranger, ""):
            with pytest.raises((ua.UaError, OSError)), client(refused):
                pass
        with client(known) as session:
            at = session.get_namespace_index("urn:tfa-inspect")

            def node(path: str) -> Any:
                return session.get_node(f"ns={at};s=VisionSystem.{path}")

            result = session.nodes.objects.get_child(
                [f"{at}:{name}" for name in ("VisionSystem", "ResultManagement", "Results", "Result3")]
            )
            assert {child.read_browse_name().Name for child in result.get_children()} == {
                "ResultId", "PartId", "ResultState", "IsSimulated", "InternalRecipeId", "CreationTime",
                "Epoch", "Verdict", "Reason", "Score", "Valid",
            }  # fmt: skip
            assert node("VisionStateMachine.CurrentState").read_value().Text == "Operational"
            automatic = node("VisionStateMachine.AutomaticModeStateMachine.CurrentState").read_value().Text
            assert automatic == "ContinuousExecution"
            at_3 = "ResultManagement.Results.Result3."
            assert [node(at_3 + name).read_value() for name in ("ResultId", "PartId", "ResultState")] == ["7-11", 11, 1]
            assert node(at_3 + "InternalRecipeId").read_value() == "0" * 64
            for path in ("Line.Valid", at_3 + "Verdict"):
                with pytest.raises(ua.UaStatusCodeError):
                    node(path).write_value(ua.Variant(1, ua.VariantType.UInt16))
            node("Plc.AcknowledgedPart").write_value(ua.Variant(11, ua.VariantType.UInt32))
            assert plc.exchange(block) == PlcBlock(0, 0, 11)
    finally:
        plc.close()


@pytest.mark.parametrize("kind", ["modbus-server", "opcua"])
def test_a_port_that_is_taken_is_told(make_line: MakeLine, free_ports: Callable[[int], list[int]], kind: str) -> None:
    (port,) = free_ports(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        plc = plc_of(make_line(plc=table_of(kind, port)))
        try:
            with pytest.raises(PlcError, match=rf"127\.0\.0\.1:{port} cannot be bound"):
                plc.connect()
        finally:
            plc.close()


@pytest.mark.parametrize("made", [plc_of, lambda line: make_side(need_plc(line), line.file)])
@pytest.mark.parametrize(
    ("kind", "package", "extra"),
    [
        ("modbus", "pymodbus", "modbus"),
        ("modbus-server", "pymodbus", "modbus"),
        ("opcua", "asyncua", "opcua"),
        ("s7", "snap7", "s7"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(
    make_line: MakeLine,
    monkeypatch: pytest.MonkeyPatch,
    made: Callable[[Line], object],
    kind: str,
    package: str,
    extra: str,
) -> None:
    for name in [name for name in sys.modules if name.startswith(("appliance.plc.ports.", package))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(frozenset({package})), *sys.meta_path])
    line = make_line(plc=table_of(kind, 4840))
    told = rf"plc\.kind = \"{kind}\" needs the library {package}; run: pip install 'tfa-inspect\[{extra}\]'"
    with pytest.raises(ConfigError, match=told):
        made(line)
