"""Options that several commands of `calibrate` have, beside those of `engines.cli.options`."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import typer

from engines.common.errors import ConfigError
from engines.recipe.model_config import BankRatio

Grid = Annotated[
    str,
    typer.Option(
        help="Tiles that the region is cut into, ROWSxCOLUMNS; more tiles see smaller defects. "
        "auto: one, or more along a side that is at least twice as long as the other."
    ),
]


def share(option: str, text: str) -> float:
    """A share such as 0.5% or 0.005. Raises ConfigError for any other text, and for what is not between 0 and 1."""
    number, percent = (text[:-1], True) if text.endswith("%") else (text, False)
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise ConfigError(f"{option} {text}: give a share such as 0.5% or 0.005, more than 0 and less than 1")
    return value


def grid_numbers(text: str) -> tuple[int | None, int | None]:
    """Rows and columns of --grid; None for auto. Raises ConfigError for any other text."""
    if text == "auto":
        return None, None
    rows, _, columns = text.lower().partition("x")
    if not (rows.isdecimal() and columns.isdecimal() and int(rows) and int(columns)):
        raise ConfigError(f"--grid {text}: give auto, or ROWSxCOLUMNS such as 2x3")
    return int(rows), int(columns)


def bank_ratio(text: str, option: str) -> BankRatio:
    """An option's text as a share of a bank. Raises ConfigError."""
    try:
        ratio: BankRatio = msgspec.convert(text, BankRatio, strict=False)
    except msgspec.ValidationError:
        raise ConfigError(
            f"{option} {text}: give 10, 25, 50 or 100 (per cent of the golden samples that were fitted)"
        ) from None
    return ratio
