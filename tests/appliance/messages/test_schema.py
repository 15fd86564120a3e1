"""Messages: what goes over the wire is what the schema says, and a PLC's numbers never change."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import get_args

import msgspec

from appliance.messages.schema import (
    MESSAGES,
    Reason,
    ReasonCode,
    Region,
    SnapshotRequest,
    TemplateMatch,
    Verdict,
)
from tests.appliance.conftest import make_verdict


def test_reason_codes_cover_every_reason_and_never_change() -> None:
    codes = {reason: int(ReasonCode.of(reason)) for reason in get_args(Reason)}
    assert codes == {
        "": 0,
        "defect": 1,
        "late": 2,
        "overrun": 3,
        "no-image": 4,
        "engine-fault": 5,
        "not-calibrated": 6,
        "stopping": 7,
        "miscounted": 8,
    }
    assert len(ReasonCode) == len(codes)


def test_a_verdict_comes_back_as_it_was_sent() -> None:
    verdict = make_verdict(
        5,
        verdict="reject",
        reason="defect",
        score=0.1 + 0.2,
        regions=(Region(1, 2, 3, 4, 5.5, 0.75), Region(9, 8, 7, 6, 1.0, 0.7)),
        detail='an "odd" text: ä, \n',
        source="parts/a.png",
    )
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict
    unmeasured = make_verdict(6, verdict="reject", reason="no-image", score=None, threshold=None)
    assert msgspec.json.decode(msgspec.json.encode(unmeasured), type=Verdict) == unmeasured


def test_the_schema_names_every_field_of_every_message(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = command("inspect", "schema")
    assert (done.returncode, done.stderr) == (0, "")
    schema = msgspec.json.decode(done.stdout)
    definitions = schema["$defs"]
    assert [root["$ref"] for root in schema["anyOf"]] == [f"#/$defs/{kind.__name__}" for kind in MESSAGES]
    for kind in (*MESSAGES, Region, TemplateMatch):
        tag = {kind.__struct_config__.tag_field} - {None}
        assert set(definitions[kind.__name__]["properties"]) == {field.name for field in msgspec.structs.fields(kind)} | tag
    sent = msgspec.to_builtins(make_verdict(1))
    assert set(sent) == set(definitions["Verdict"]["properties"])
    assert set(definitions["Verdict"]["required"]) == set(sent) - {"detail", "source", "template"}
    assert definitions["Verdict"]["properties"]["reason"]["enum"] == sorted(get_args(Reason))


def test_a_reader_of_an_older_version_takes_a_message_with_more_fields() -> None:
    newer = msgspec.to_builtins(make_verdict(1)) | {"camera_temperature": 41.5}
    assert msgspec.json.decode(msgspec.json.encode(newer), type=Verdict).seq == 1


def test_a_snapshot_request_round_trips() -> None:
    request = SnapshotRequest(1_700_000_000_000, 12)
    assert msgspec.json.decode(msgspec.json.encode(request), type=SnapshotRequest) == request


def test_every_reason_has_a_number_and_a_meaning() -> None:
    assert {ReasonCode.of(reason) for reason in get_args(Reason)} == set(ReasonCode)
    assert all(code.meaning for code in ReasonCode)
    assert ReasonCode(5) is ReasonCode.ENGINE_FAULT
