"""What is in a cell of a table: a number, a word, or nothing."""

from __future__ import annotations

import math
import re

# What people and programs write where a value is missing, in any case: pandas, R, SQL, spreadsheets, the UCI repository.
MISSING = frozenset(("", "?", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none"))

_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")

# Numbers as people write them for people: $1,234.50, 12 %, 1'000, 3,5.
_FOR_PEOPLE = re.compile(
    r"[+-]?\s?[$€£¥]?\s?[+-]?(?:\d+(?:[.,]\d+)?|\d{1,3}(?:[,.'’ \u00a0\u202f]\d{3})+(?:[.,]\d+)?)\s?[%$€£¥]?"
)


def parse(cell: str, *, decimal_comma: bool = False) -> float | str | None:
    """The number or the word in a cell, None where the value is missing.

    >>> parse(" 5.1 "), parse("5,1", decimal_comma=True), parse("N/A"), parse("setosa"), parse("1_000")
    (5.1, 5.1, None, 'setosa', '1_000')
    """
    word = cell.strip()
    if word.lower() in MISSING:
        return None
    if decimal_comma and _DECIMAL_COMMA.fullmatch(word):
        return float(word.replace(",", "."))
    try:
        number = float(word)
    except ValueError:
        return word
    return word if "_" in word or math.isnan(number) else number  # Python reads 1_000 as a number, and nobody else does


def is_number(cell: str) -> bool:
    """Whether a cell holds a number with a decimal point."""
    return isinstance(parse(cell), float)


def is_for_people(word: str) -> bool:
    """Whether a word is a number with a currency, a percent sign, thousands separators or a decimal comma.

    >>> is_for_people("$1,234.50"), is_for_people("12 %"), is_for_people("1234"), is_for_people("12.05.2023")
    (True, True, False, False)
    """
    return _FOR_PEOPLE.fullmatch(word) is not None and not is_number(word)


def word_of(cell: str) -> str | None:
    """A cell of a categorical column, None where the value is missing; 3.0 is written 3, as pandas makes the one of the other.

    >>> word_of(" 3.0"), word_of("01234"), word_of("NA")
    ('3', '01234', None)
    """
    word = cell.strip()
    if word.lower() in MISSING:
        return None
    whole = _WHOLE.fullmatch(word)
    return whole[1] if whole else word


def name_of(number: float) -> str:
    """A number as the name of a class or category.

    >>> name_of(3.0), name_of(-1.0), name_of(0.5)
    ('3', '-1', '0.5')
    """
    number = float(number)
    return str(int(number)) if number.is_integer() else repr(number)
