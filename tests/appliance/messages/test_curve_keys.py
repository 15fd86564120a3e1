"""Keys: a listed client hears the line; another, or one without keys, hears nothing."""

from __future__ import annotations

import shlex
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.config.line import Line
from appliance.messages.curve_keys import make_keys
from appliance.messages.part_numbers import PartNumbers
from appliance.messages.publisher import Publisher
from engines.common.errors import ConfigError
from tests.appliance.conftest import MakeLine, listen, on_air, quiet, wait_for


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
        subscriber = listen(line, "plc", catch_up=True)
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
        outside, inside = listen(theirs), listen(line)
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
    assert made == [(tmp_path / "line.key", True), (tmp_path / "clients" / "plc.key", True)]
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.key*")}
    again = make_keys(tmp_path, ["plc", "office"])
    assert [(pair.public.name, pair.made) for pair in again] == [("line.key", False), ("plc.key", False), ("office.key", True)]
    assert {file: file.read_bytes() for file in before} == before
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.rglob("*.key_secret")} == {0o600}


def test_the_advice_for_a_missing_key_is_the_command_that_makes_it(
    make_line: MakeLine, line: Line, in_process: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    def follow(advice: str) -> list[str]:
        """Do what a message says literally; returns what that tells."""
        done = in_process(*shlex.split(advice.partition("make it with: ")[2]))
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    watch = ("inspect", "watch", "--line", line.name, "--config-dir", line.file.parent, "--client", "nobody")
    refused = in_process(*watch)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "clients/nobody.key_secret: no such key; on another box, copy it from the line's;" in refused.stderr
    told = follow(refused.stderr)
    listen(line, "nobody").close()
    keys = line.config.publish.keys
    assert told == [
        f"kept {keys}/line.key and {keys}/line.key_secret",
        f"made {keys}/clients/nobody.key and {keys}/clients/nobody.key_secret",
    ]

    bare = make_line(publish=addresses(make_line) | {"keys": "to be made"})

    def publisher() -> Publisher:
        return Publisher(bare.name, bare.config.publish, bare.file, simulated=False, numbers=PartNumbers(quiet))

    with pytest.raises(ConfigError, match=r"to be made/line\.key_secret: no such key; make it with: inspect keys") as missing:
        publisher()
    follow(str(missing.value))
    publisher().close()


def test_a_damaged_key_is_not_kept_for_good(line: Line, tmp_path: Path) -> None:
    keys = tmp_path / "lines" / "keys"
    (keys / "clients" / "plc.key_secret").write_text("not a key")
    with pytest.raises(ConfigError, match=r"no usable key \(.*\); mend its rights, or remove it, and then: on another box"):
        listen(line, "plc")
    (keys / "line.key").unlink()
    with pytest.raises(ConfigError, match=r"line\.key: no such key; on another box, copy it from the line's$"):
        listen(line, "watch")


def test_a_public_key_in_the_place_of_a_secret_one_is_refused(line: Line, tmp_path: Path) -> None:
    clients = tmp_path / "lines" / "keys" / "clients"
    shutil.copy(clients / "plc.key", clients / "plc.key_secret")
    with pytest.raises(ConfigError, match=r"plc\.key_secret: holds no secret key"):
        listen(line, "plc")
