"""Does a document fit `document.schema.json`? The few keywords of JSON Schema that it uses, in plain Python.

The tests check that these are all it uses, and that the package `jsonschema` gives the same verdicts.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Iterator
from typing import Any

from ..errors import one_line, shown

# How much of a value an error shows.
_LONGEST = 40

_TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}


@functools.cache
def schema() -> dict[str, Any]:
    """The schema."""
    return json.loads(importlib.resources.files(__package__).joinpath("document.schema.json").read_text())


def violation(document: Any) -> str:
    """The first thing in the document that does not fit, in words; empty if all fits."""
    try:
        return next(_violations(document, schema(), "document"), "")
    except RecursionError:
        return "its document is nested too deeply"


def _violations(value: Any, rules: dict[str, Any], where: str) -> Iterator[str]:
    if "$ref" in rules:
        rules = schema()["$defs"][rules["$ref"].removeprefix("#/$defs/")]
    if "type" in rules:
        names = rules["type"] if isinstance(rules["type"], list) else [rules["type"]]
        if not any(_is(value, name) for name in names):
            yield f"{where} is {shown(value, _LONGEST)}, expected {' or '.join(names)}"
            return
    if "const" in rules and value != rules["const"]:
        yield f"{where} is {shown(value, _LONGEST)}, expected {rules['const']!r}"
    if "enum" in rules and value not in rules["enum"]:
        yield f"{where} is {shown(value, _LONGEST)}, expected one of {', '.join(map(repr, rules['enum']))}"
    if isinstance(value, (int, float)):
        yield from _outside(value, rules, where)
    if isinstance(value, list):
        yield from _in_list(value, rules, where)
    if isinstance(value, dict):
        yield from _in_object(value, rules, where)


def _is(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _outside(value: float, rules: dict[str, Any], where: str) -> Iterator[str]:
    if "minimum" in rules and value < rules["minimum"]:
        yield f"{where} is {shown(value, _LONGEST)}, expected at least {rules['minimum']}"
    if "maximum" in rules and value > rules["maximum"]:
        yield f"{where} is {shown(value, _LONGEST)}, expected at most {rules['maximum']}"


def _in_list(value: list[Any], rules: dict[str, Any], where: str) -> Iterator[str]:
    if len(value) < rules.get("minItems", 0):
        yield f"{where} has {len(value)} entries, expected at least {rules['minItems']}"
    if "items" in rules:
        for index, item in enumerate(value):
            yield from _violations(item, rules["items"], f"{where}[{index}]")


def _in_object(value: dict[str, Any], rules: dict[str, Any], where: str) -> Iterator[str]:
    for name in rules.get("required", ()):
        if name not in value:
            yield f"{where} has no {name!r}"
    for name, needed in rules.get("dependentRequired", {}).items():
        if name in value and (missing := [other for other in needed if other not in value]):
            yield f"{where} has {name!r} without {missing[0]!r}"
    properties, others = rules.get("properties", {}), rules.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            yield from _violations(item, properties[name], f"{where}.{name}")
        elif others is False:
            yield f"{where} has an unknown entry {shown(name, _LONGEST)}"
        elif isinstance(others, dict):
            yield from _violations(item, others, f"{where}.{one_line(name, _LONGEST)}")
