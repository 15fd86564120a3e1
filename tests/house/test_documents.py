"""The documents say what the code does, and name all there is: settings, commands, alarms, fields; and links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from appliance.messages.alarms import ALARMS
from appliance.messages.schema import MESSAGES, ReasonCode
from appliance.plc.image import image_rows
from tests.house.documents import ROOT, documents, renewed
from tests.house.reference import all_settings
from tests.house.reference_commands import PACKAGES, commands_of

TEXTS = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in documents()}
PAGES = [
    "README.md",
    "appliance/README.md",
    "appliance/capture/README.md",
    "appliance/plc/README.md",
    "calibrate/README.md",
    "engines/README.md",
    "systemd/README.md",
    "tests/README.md",
    "tests/benchmarks/README.md",
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def test_every_page_is_there_and_the_front_door_is_one_page() -> None:
    assert sorted(TEXTS) == PAGES
    assert len(TEXTS["README.md"].splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_what_is_made_from_code_is_as_the_code_is(page: str) -> None:
    assert renewed(TEXTS[page]) == TEXTS[page], "make docs"


def test_every_setting_has_its_place() -> None:
    settings = {one.key for one in all_settings()}
    assert {"recipe", "camera.trigger_counter", "engine.target", "plc.db", "challenge.every_hours"} <= settings
    assert [key for key in settings if f"`{key}`" not in TEXTS["appliance/README.md"]] == []


@pytest.mark.parametrize(("program", "page"), [(program, f"{package}/README.md") for program, package in PACKAGES.items()])
def test_every_command_has_its_place(program: str, page: str) -> None:
    commands = commands_of(program)
    assert commands
    assert [name for name in commands if f"`{program} {name}`" not in TEXTS[page]] == []


def test_every_alarm_reason_and_field_has_its_place() -> None:
    told = TEXTS["appliance/README.md"]
    assert [kind for kind in ALARMS if f"`{kind}`" not in told] == []
    assert [one.name for one in ReasonCode if one and one.name.lower().replace("_", "-") not in told] == []
    assert [name for message in MESSAGES[:3] for name in message.__struct_fields__ if f"`{name}`" not in told] == []
    assert [row.field for row in image_rows() if f"`{row.field}`" not in TEXTS["appliance/plc/README.md"]] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert [link for link in LINK.findall(TEXTS[page]) if not (link.startswith("https://") or _leads(page, link))] == []


def _leads(page: str, link: str) -> bool:
    place, _, heading = link.partition("#")
    target = (ROOT / page).parent / place if place else ROOT / page
    target = target / "README.md" if target.is_dir() else target
    return target.exists() and (not heading or heading in _anchors(target.read_text(encoding="utf-8")))


def _anchors(text: str) -> set[str]:
    """A page's headings as links name them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_promise_names_tests_that_are_there() -> None:
    named = re.findall(r"`([\w/]+\.py)`", TEXTS["tests/README.md"])
    assert len(named) > 40
    assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []


def _told() -> Iterator[tuple[str, list[str]]]:
    """The commands that the pages tell to type, with their words."""
    for page, text in TEXTS.items():
        for line in re.findall(r"^ {4,}((?:inspect|calibrate|engines) .*)$", text, re.MULTILINE):
            yield page, shlex.split(re.split(r"\s+#", line)[0])
        for line in re.findall(r"`((?:inspect|calibrate|engines) [a-z-]+ [^`]*)`", text):
            yield page, line.split()


def test_commands_that_are_told_are_commands() -> None:
    told = list(_told())
    assert len(told) > 40
    assert [f"{page}: {' '.join(words)}" for page, words in told if not _is_command(*words)] == []


def _is_command(program: str, name: str, *words: str) -> bool:
    command = commands_of(program).get(name)
    if command is None:
        return False
    options = {option for one in command.params for option in one.opts}
    return all(word in options for word in words if word.startswith("--"))
