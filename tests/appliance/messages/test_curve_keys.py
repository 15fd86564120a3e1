"""Keys: a listed client hears the line; another, or one without keys, hears nothing."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from appliance.config.line import Line
from appliance.messages.curve_keys import make_keys
from appliance.messages.publisher import Publisher
from appliance.messages.subscriber import Subscriber
from engines.common.errors import ConfigError
from tests.appliance.conftest import MakeLine, on_air, wait_for


@pytest.fixture
def line(make_line: MakeLine, tmp_path: Path) -> Line:
    """A line with keys, and the clients plc and watch."""
    make_keys(tmp_path / "lines" / "keys", ["plc", "watch"])
    return make_line(publish=addresses(make_line) | {"keys": "keys"})


def addresses(make_line: MakeLine) -> dict[str, object]:
    publish = make_line().config.publish
    return {"verdicts": publish.verdicts, "snapshot": publish.snapshot}


def test_a_listed_client_hears_and_catches_up(line: Line) -> None:
    with on_air(line) as station:
        station.publish(3)
        subscriber = Subscriber(line, "plc", catch_up=True)
        seen: list[int] = []

        def hear() -> bool:
            message = subscriber.receive(0.1)
            seen.append(message.seq if message else 0)
            return seen[-1:] == [3]

        try:
            wait_for(hear, "the third verdict")
        finally:
            subscriber.close()
    assert [seq for seq in seen if seq] == [1, 2, 3]


@pytest.mark.parametrize("stranger", ["keys of its own", "no keys"])
def test_a_stranger_hears_nothing_while_a_listed_client_does(
    line: Line, make_line: MakeLine, tmp_path: Path, stranger: str
) -> None:
    at = {"verdicts": line.config.publish.verdicts, "snapshot": line.config.publish.snapshot}
    if stranger == "no keys":
        theirs = make_line(publish=at)
    else:
        make_keys(tmp_path / "lines" / "foreign", ["watch"])
        shutil.copy(tmp_path / "lines" / "keys" / "line.key", tmp_path / "lines" / "foreign" / "line.key")
        theirs = make_line(publish=at | {"keys": "foreign"})
    with on_air(line):
        outside, inside = Subscriber(theirs, "watch"), Subscriber(line, "watch")
        try:
            heard = 0
            while heard < 5:
                heard += inside.receive(1.0) is not None
                assert outside.receive(0) is None
            assert outside.receive(0.3) is None
        finally:
            outside.close()
            inside.close()


def test_making_keys_keeps_those_there_are_and_hides_the_secrets(tmp_path: Path) -> None:
    made = make_keys(tmp_path, ["plc"])
    assert [file.relative_to(tmp_path).as_posix() for file in made] == ["line.key", "clients/plc.key"]
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.key*")}
    assert [file.name for file in make_keys(tmp_path, ["plc", "office"])] == ["office.key"]
    assert {file: file.read_bytes() for file in before} == before
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.rglob("*.key_secret")} == {0o600}


def test_missing_keys_are_named_with_what_makes_them(make_line: MakeLine, line: Line) -> None:
    bare = make_line(publish=addresses(make_line) | {"keys": "nowhere"})
    with pytest.raises(ConfigError, match=r"nowhere/line\.key_secret: no usable key; make it with: inspect keys"):
        Publisher(bare, simulated=False)
    with pytest.raises(ConfigError, match=r"clients/office\.key_secret: no usable key"):
        Subscriber(line, "office")


def test_a_public_key_in_the_place_of_a_secret_one_is_refused(line: Line, tmp_path: Path) -> None:
    clients = tmp_path / "lines" / "keys" / "clients"
    shutil.copy(clients / "plc.key", clients / "plc.key_secret")
    with pytest.raises(ConfigError, match=r"plc\.key_secret: holds no secret key"):
        Subscriber(line, "plc")
