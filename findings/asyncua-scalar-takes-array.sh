#!/usr/bin/env bash
# asyncua 2.1.0: a client writes an array to a server's scalar variable, and the server takes it.
#
# Guess: the node says ValueRank -1 (scalar), and a value of a wrong type is refused with Bad_TypeMismatch; so is an array.
# Seen:  the type of the elements is compared, their number is not: an Int32 is refused, three UInt16 are taken and read back,
#        and ValueRank is still -1.  Whoever reads the node as a number gets a list.
# Where it matters: a server whose variables a PLC writes (a heartbeat, an acknowledgement) must look at the shape itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check asyncua==2.1.0
cat > "$folder/try.py" <<'PYTHON'
import asyncio
import logging
import socket

from asyncua import Client, Server, ua

logging.disable(logging.CRITICAL)


async def main() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"opc.tcp://127.0.0.1:{probe.getsockname()[1]}/"
    server = Server()
    await server.init()
    server.set_endpoint(url)
    space = await server.register_namespace("urn:example")
    variable = await server.nodes.objects.add_variable(space, "count", ua.Variant(0, ua.VariantType.UInt16))
    await variable.set_writable()
    async with server, Client(url) as client:
        node = client.get_node(variable.nodeid)
        print("ValueRank", int(await node.read_value_rank()))
        for value, kind in ((1, ua.VariantType.Int32), ([1, 2, 3], ua.VariantType.UInt16)):
            try:
                await node.write_value(ua.DataValue(ua.Variant(value, kind)))
                print(kind.name, value, "taken")
            except ua.UaStatusCodeError as error:
                print(kind.name, value, "refused:", type(error).__name__)
        print("read back", await node.read_value(), "ValueRank", int(await node.read_value_rank()))


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/try.py" | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
ValueRank -1
Int32 1 refused: BadTypeMismatch
UInt16 [1, 2, 3] taken
read back [1, 2, 3] ValueRank -1
SEEN
