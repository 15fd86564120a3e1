"""TOML files as typed structs; a mistake in one is told with file and key path.

A relative path in a file is meant from the folder that holds the file.  A table that is another one for each `kind` is a
`KindTable`: a kind is one module, which has the struct of its table and the functions that make what the table describes.
"""

from __future__ import annotations

import importlib
import os
import re
import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from engines.common.errors import ConfigError
from engines.common.extras import missing_library

T = TypeVar("T")


class KindTable:
    """A table of a file, of whichever kind; each family of kinds is a subclass, which the struct of every kind inherits.

    The module of a kind has that struct, named `Config` and tagged with the kind in the field `kind`.  It is imported when a
    file names the kind: the library of a vendor must not be, before one of the module's functions needs it.
    """

    key: ClassVar[str]  # of the table in its file
    kinds: ClassVar[Mapping[str, str]]  # kind: its module

    @classmethod
    def struct_of(cls, kind: str) -> Any:
        """The struct of a kind that there is."""
        struct = importlib.import_module(cls.kinds[kind]).Config
        assert struct.__struct_config__.tag == kind, f"{struct} is not tagged {kind!r}, as the table of kinds has it"
        return struct

    @property
    def kind(self) -> str:
        """What the file calls it."""
        tag: str = self.__struct_config__.tag  # type: ignore[attr-defined]  # of the struct that inherits this
        return tag

    def call(self, function: str, *arguments: object) -> Any:
        """What a function of the kind's module makes of this table. Raises ConfigError that names a package that is missing."""
        try:
            return getattr(importlib.import_module(self.kinds[self.kind]), function)(self, *arguments)
        except ModuleNotFoundError as error:
            text = missing_library(error, f'{self.key}.kind = "{self.kind}"')
            if text is None:
                raise
            raise ConfigError(text) from error


class _Mistake(Exception):  # noqa: N818 - of whoever wrote the file
    """Key path and mistake."""


def decode_toml(file: Path, kind: type[T]) -> T:
    """A typed TOML file. Raises ConfigError that names file, key path and the mistake."""
    try:
        return _convert(file.parent, tomllib.loads(file.read_text(encoding="utf-8")), kind, "")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from error
    except _Mistake as error:
        raise ConfigError(f"{file}: {error}") from error


def _convert(folder: Path, table: object, kind: type[T], key: str) -> T:
    """The struct of a table that stands at this key path, empty for the whole file."""
    try:
        return msgspec.convert(table, kind, dec_hook=partial(_value, folder))
    except msgspec.ValidationError as error:
        raise _Mistake(_with_key(str(error), kind, key)) from error


def _value(folder: Path, kind: type, value: object) -> object:
    """What msgspec has no type for: a path, from the folder that holds the file, or a table whose struct its kind tells."""
    if issubclass(kind, KindTable):
        if not isinstance(value, dict):
            raise _Mistake(f"{kind.key}: expected a table, got `{type(value).__name__}`; correct the value")
        named = value.get("kind")
        if not isinstance(named, str) or named not in kind.kinds:
            wrong = "missing" if named is None else f"invalid value {named!r}"
            raise _Mistake(f"{kind.key}.kind: {wrong}; choose one of {', '.join(kind.kinds)}")
        return _convert(folder, value, kind.struct_of(named), kind.key)
    if kind is not Path or not isinstance(value, str):
        raise TypeError(f"expected `str`, got `{type(value).__name__}`")
    if not value:
        raise ValueError("expected a path, got nothing")
    return Path(os.path.normpath(folder / value))


def _with_key(message: str, kind: type, key: str) -> str:
    """'Expected `int`, got `str` - at `$.width`' of the table at `camera` -> 'camera.width: expected `int`, got `str`'."""
    match = re.fullmatch(r"(.*?)(?: - at `\$\.?(.*)`)?", message, re.DOTALL)
    text, below = (match[1], match[2] or "") if match else (message, "")
    path = ".".join(filter(None, (key, below)))
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", text):
        return f"{path + '.' if path else ''}{unknown[1]}: unknown key; correct its spelling or remove it"
    if invalid := re.fullmatch(r"Invalid enum value (.*)", text):
        choices = ", ".join(map(str, _choices(kind, re.findall(r"\w+", below))))
        return f"{path}: invalid value {invalid[1]}; choose one of {choices}"
    text = text[0].lower() + text[1:] if text[:1].isupper() else text
    return f"{path}: {text}; correct the value" if path else text


def _choices(hint: Any, path: list[str]) -> tuple[object, ...]:
    """The values that a key below a struct may have, where they are listed."""
    if path and isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _choices(get_type_hints(hint)[path[0]], path[1:])
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(choice for part in get_args(hint) for choice in _choices(part, path))
