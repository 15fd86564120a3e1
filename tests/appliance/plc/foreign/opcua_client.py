"""A PLC that is an OPC UA client, on open62541 through o6.

python opcua_client.py PORT
"""

from __future__ import annotations

import os
import sys
from typing import Any

ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # o6 prints a banner where answers belong

import o6  # type: ignore[import-not-found]  # noqa: E402

NAMESPACE = "urn:tfa-inspect"
TYPES = {"u16": o6.UInt16, "u32": o6.UInt32, "f32": o6.Float}


def serve(client: Any) -> None:
    """Carry orders out until they end; see `__init__.py`."""
    index = list(client.read("i=2255")).index(NAMESPACE)
    print("ready", file=ANSWERS, flush=True)
    for line in sys.stdin:
        verb, *words = line.split()
        places = [word.replace("=", "@").split("@") for word in words]
        nodes = [f"ns={index};s={place[1]}" for place in places]
        try:
            answer = read(client, nodes, places) if verb == "read" else write(client, nodes, places)
        except o6.StatusCodeError as error:
            answer = "refused " + str(error).replace("\n", " ")
        print(answer, file=ANSWERS, flush=True)


def read(client: Any, nodes: list[str], places: list[list[str]]) -> str:
    values = client.read(nodes)
    for (kind, where), value in zip(places, values, strict=True):
        if type(value) is not TYPES[kind]:
            return f"refused {where} is a {type(value).__name__}, not a {kind}"
    return " ".join(str(value) for value in values)


def write(client: Any, nodes: list[str], places: list[list[str]]) -> str:
    values = [TYPES[kind](float(value)) if kind == "f32" else TYPES[kind](int(value)) for kind, _, value in places]
    for node, status in zip(nodes, client.write(nodes, values), strict=True):
        if status != o6.StatusCode.GOOD:
            return f"refused {node}: {status}"
    return "ok"


if __name__ == "__main__":
    with o6.Client(f"opc.tcp://127.0.0.1:{sys.argv[1]}/") as connected:
        serve(connected)
