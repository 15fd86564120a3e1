"""Pages: what is given to them is text, what they need is in them and in a wheel, what is not given is an error."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jinja2 import UndefinedError

from calibrate.pages.charts import drawn, png, svg
from calibrate.pages.page import Row, Tile, render
from calibrate.reporting.report import Report
from calibrate.reporting.report_charts import Chart
from calibrate.reporting.report_pictures import Example
from engines.pictures.images import png_bytes
from tests.calibrate.pages.page_reader import PageReader

ROOT = Path(__file__).parents[3]
NASTY = """<script>alert("1")</script>' onload="x" & &lt; {{ 7 * 7 }} {% raw %} </svg>"""
PLAIN = "anything"


def a_chart(title: str) -> Chart:
    with drawn(title) as (figure, axes):
        axes.plot([1, 2], [3, 4], label=title)
        axes.legend()
        return Chart(svg(figure), png(figure))


def a_report(text: str, **changes: Any) -> Report:
    """With this text wherever a text can stand."""
    picture = png_bytes(np.zeros((4, 4, 3), np.uint8))
    pairs, rows = ((text, text),), (Row((text, text)),)
    fields: dict[str, Any] = {
        "head": pairs, "tiles": (Tile(text, text, text, "good", text),), "guaranteed": True, "promise": text,
        "deviations": a_chart("<b> & c"), "trade_off": None, "thresholds": pairs, "candidates": rows, "golden": pairs,
        "strip": picture, "seen": None, "unseen": text, "examples": (Example(text, 1.0, False, picture),), "limit": 2.0,
        "template": picture, "curve": a_chart("</svg>"), "fit": pairs, "engines": rows, "versions": pairs,
    }  # fmt: skip
    return Report(**fields | changes)


def test_names_and_notes_are_text_in_a_report() -> None:
    plain, nasty = (PageReader(render("report.html", title=text, report=a_report(text))) for text in (PLAIN, NASTY))
    assert nasty.tags == plain.tags, "a text makes no element"
    assert nasty.loads_nothing()
    assert nasty.text.count(NASTY) == plain.text.count(PLAIN) == 23
    assert "49" not in nasty.text


def test_a_report_shows_what_was_measured_and_what_was_not() -> None:
    seen = PageReader(render("report.html", title="name", report=a_report("name", unseen="not yet")))
    assert "not yet" in seen.text
    picture = png_bytes(np.zeros((4, 4, 3), np.uint8))
    changed = a_report("name", unseen="not yet", seen=picture, trade_off=a_chart("other limits"))
    whole = PageReader(render("report.html", title="name", report=changed))
    assert "not yet" not in whole.text
    assert whole.tags.count("img") == seen.tags.count("img") + 1
    assert whole.tags.count("svg") == seen.tags.count("svg") + 1 == 3


def test_what_a_page_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="report"):
        render("report.html", title="name")


def test_a_charts_text_stays_text_and_its_bytes_the_same() -> None:
    chart = a_chart("costs $1 & $2")
    assert chart == a_chart("costs $1 & $2")
    assert "costs $1 &amp; $2" in chart.svg
    assert PageReader(chart.svg).text.count("costs $1 & $2") == 2
    assert not re.search(r"date|matplotlib\.org", chart.svg), "not when, nor with what"


def test_a_wheel_holds_all_that_pages_need(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "calibrate", source / "calibrate", ignore=shutil.ignore_patterns("__pycache__"))
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", build, tmp_path], cwd=source, env=environment, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(installed)
    say = "from calibrate.pages import page; print(page.__file__); print(page.render('page.html', title='a < b'))"
    run = [sys.executable, "-c", say]
    said = subprocess.run(run, cwd=installed, env=environment, check=True, capture_output=True, text=True).stdout
    assert said.startswith(str(installed))
    assert "<h1>a &lt; b</h1>" in said
    assert ".tiles {" in said
    templates = {file.name for file in (ROOT / "calibrate" / "pages" / "templates").iterdir()}
    assert {file.name for file in (installed / "calibrate" / "pages" / "templates").iterdir()} == templates
