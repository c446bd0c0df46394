r"""Units behind an answer: parted from it, and compared where both answers name one.

``5\text{ m}`` is not ``5\text{ km}``, but is ``500 cm``; an answer without a unit is in the one
that was asked for. Words that are no known unit ("18 apples") name what is counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MEASURES: dict[str, dict[str, Fraction]] = {
    "length": {
        "mm": Fraction(1, 1000), "cm": Fraction(1, 100), "m": Fraction(1), "km": Fraction(1000),
        "in": Fraction(254, 10**4), "ft": Fraction(3048, 10**4), "yd": Fraction(9144, 10**4),
        "mi": Fraction(1609344, 1000),
    },
    "mass": {
        "mg": Fraction(1, 1000), "g": Fraction(1), "kg": Fraction(1000),
        "oz": Fraction(45359237, 1600000), "lb": Fraction(45359237, 100000),
    },
    "time": {
        "s": Fraction(1), "min": Fraction(60), "h": Fraction(3600), "day": Fraction(86400),
        "week": Fraction(604800),
    },
    "volume": {"ml": Fraction(1, 1000), "l": Fraction(1)},
    "money": {"cent": Fraction(1, 100), "dollar": Fraction(1)},
}  # fmt: skip
"""How much of the measure's own unit each unit is."""
NAMES = {
    "mm": "millimeter millimetre", "cm": "centimeter centimetre", "m": "meter metre",
    "km": "kilometer kilometre", "in": "inch inches", "ft": "foot feet", "yd": "yard",
    "mi": "mile", "mg": "milligram", "g": "gram gm", "kg": "kilogram kilo", "oz": "ounce",
    "lb": "pound", "s": "second sec", "min": "minute", "h": "hour hr", "day": "day",
    "week": "week wk", "month": "month", "year": "year yr", "ml": "milliliter millilitre",
    "l": "liter litre", "cent": "cent \u00a2", "dollar": "dollar buck usd", "euro": "euro",
    "%": "percent percentage pct",
    "degree": "degree deg", "mph": "mph", "unit": "unit", "gal": "gallon",
    "pound sterling": "sterling", "radian": "radian rad",
    "a.m.": "a.m. am a.m", "p.m.": "p.m. pm p.m",
}  # fmt: skip
ALIAS = {
    spelling: unit
    for unit, names in NAMES.items()
    for name in (*names.split(), unit)
    for spelling in (name, f"{name}s" if len(name) > 1 and name[-1].isalpha() else name)
}
SYMBOLS = {"m", "g", "s", "h", "l"}
"""Too short to be told from variables: units only behind a blank or within ``\\text``."""
UNITS = frozenset(ALIAS) - SYMBOLS
UNIT = re.compile(
    r"[-\s]*(?:(?:square|cubic|sq\.?|cu\.?)\s+)?(?P<unit>[A-Za-z]+\.?)"
    r"(?:(?:\s+per\s+|/)[A-Za-z]+)?(?:\s+(?:squared|cubed)|\^\{?\d\}?|[\u00b2\u00b3])?(?![A-Za-z])",
    re.IGNORECASE,
)
SMALL = {"of", "the", "a", "an", "per", "in", "total", "each", "left", "more", "all", "about"}
POWER = {"square": 2, "squared": 2, "sq": 2, "sq.": 2, "cubic": 3, "cubed": 3, "cu": 3}
TEXT = re.compile(
    r"^(?P<value>.*?[\d})\]a-z!])\s*\\text\s*\{(?P<unit>[^{}]*)\}\s*(?P<power>\^\s*\{?\d\}?)?"
    r"(?P<more>(?:\s*/?\s*\\text\s*\{[^{}]*\}(?:\s*\^\s*\{?-?\d\}?)?)*)$",
    re.DOTALL,
)
LEADING_TEXT = re.compile(r"^\\text\s*\{[^{}]*(?:\bis|\bare|=|:)\s*\}\s*:?\s*")
WORDS = re.compile(
    r"^(?P<value>[-+]?[\d.,/ ]*\d)(?P<gap>[-\s]*)"
    r"(?P<unit>[A-Za-z\u00a2][A-Za-z.,'\u00a2/^{}\d\s-]*)$"
)
AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)[-\s]*([A-Za-z]+)\.?")
COMPOUND = re.compile(rf"(?<![\d.]){AMOUNT.pattern}(?:\s*,?\s*(?:and\s+)?{AMOUNT.pattern})+")
"""Amounts one behind another, perhaps of one measure: 3 hours and 20 minutes."""
MONEY = {"$": "dollar", r"\$": "dollar", "\u20ac": "euro", "\u00a3": "pound sterling"}


@dataclass(frozen=True)
class Unit:
    """A known unit with its power ("m", 2), or the words that say what is counted."""

    name: str
    power: int = 1
    known: bool = True


def compounds(text: str) -> str:
    """The text with each compound amount ("3 hours and 20 minutes") as one formula."""

    def joined(found: re.Match[str]) -> str:
        if _compound(found[0]) is None:
            return found[0]
        return AMOUNT.sub(r"\1\\text{ \2 }", re.sub(r",|\band\b", " ", found[0]))

    return COMPOUND.sub(joined, text)


def measured(rest: str) -> str:
    """The known unit that a text begins with, with its power; empty if it begins with none."""
    found = UNIT.match(rest)
    if found is None or not found["unit"]:
        return ""
    name = found["unit"].lower().rstrip(".")
    blank = rest[:1].isspace()
    known = name in ALIAS if blank else name in UNITS
    return found[0].rstrip() if known and name not in ("in", "a") else ""


@dataclass(frozen=True)
class Quantity:
    """The text of a value, and its unit if it has one."""

    value: str
    unit: Unit | None


def parted(text: str) -> Quantity:
    """The value of a ``plain`` answer and its unit."""
    text = LEADING_TEXT.sub("", text)
    if (total := _compound(text)) is not None:
        return total
    money = re.match(r"(-?)\s*(\\?\$|\u20ac|\u00a3)\s*(?=[-\d.\\])", text)
    if money:
        bare = parted(money[1] + text[money.end() :])
        known = bare.unit is not None and bare.unit.known
        return bare if known else Quantity(bare.value, Unit(MONEY[money[2]]))
    if percent := re.fullmatch(r"(.*?)\s*\\?%", text):
        return Quantity(percent[1], Unit("%"))
    degrees = re.fullmatch(r"(.*?)\s*\^\{\\circ\}\s*(?:\\text\{)?\s*[CF]?\}?", text)
    if degrees and not re.search(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)", text):
        return Quantity(degrees[1], Unit("degree"))
    if found := TEXT.match(text):
        more = re.sub(r"\\text\s*\{([^{}]*)\}", r" \1 ", found["more"])
        return Quantity(found["value"].strip(), _unit(found["unit"], found["power"], more))
    if found := WORDS.match(text):
        first = re.split(r"[\s/^.]", found["unit"])[0].lower()
        # "5x" is a formula; "5 m", "5km" and "5 apples" have units
        spelt = len(first) > 1 and (first in ALIAS or bool(found["gap"]))
        if spelt or (found["gap"] and first in SYMBOLS):
            return Quantity(found["value"].strip(), _unit(found["unit"], None, ""))
    return Quantity(text, None)


def factor(answer: Unit | None, target: Unit | None) -> Fraction | None:
    """What turns the answer's figure into the target's; ``None`` if the units are of two kinds."""
    if answer is None or target is None or answer == target:
        return Fraction(1)
    if "unit" in (answer.name, target.name):  # "9 square units" names none
        return Fraction(1) if answer.power == target.power else None
    if answer.known and target.known and answer.power == target.power:
        for units in MEASURES.values():
            if answer.name in units and target.name in units:
                return (units[answer.name] / units[target.name]) ** answer.power
    if not answer.known and not target.known:
        ours, theirs = (_stems(unit.name) for unit in (answer, target))
        return Fraction(1) if ours & theirs or not ours or not theirs else None
    return None


def _compound(text: str) -> Quantity | None:
    """``3 hours and 20 minutes`` as 200 minutes; each unit is smaller than the one before it."""
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r" \1 ", text).strip()
    if not COMPOUND.fullmatch(text):
        return None
    found = [(Fraction(size), ALIAS.get(unit.lower(), "")) for size, unit in AMOUNT.findall(text)]
    for measure in MEASURES.values():
        sizes = [measure.get(unit, Fraction(0)) for _, unit in found]
        if 0 not in sizes and sizes == sorted(set(sizes), reverse=True):
            total = sum(size * scale for (size, _), scale in zip(found, sizes, strict=True))
            return Quantity(str(total / sizes[-1]), Unit(found[-1][1]))
    return None


def _unit(text: str, power: str | None, more: str) -> Unit | None:
    text = f"{text}{power or ''}{more}".lower().replace(" per ", "/").replace("{", "").strip()
    text = re.sub(r"\s*/\s*", "/", text.replace("}", "")).rstrip(",;")
    exponent = 1
    if raised := re.fullmatch(r"(.*?)\s*\^\s*(\d)", text):
        text, exponent = raised[1], int(raised[2])
    words = text.split()
    for word in words:
        exponent *= POWER.get(word, 1)
    words = [word for word in words if word not in POWER and word != "in"] or words
    if not words:
        return None
    first = words[0]
    name = ALIAS.get(first, ALIAS.get(first.rstrip("."), ALIAS.get(first.rstrip("s"))))
    if name is not None:
        return Unit(name, exponent)
    if "/" in first:
        parts = [ALIAS.get(part.rstrip("."), part) for part in first.split("/")]
        joined = "/".join(parts)
        return Unit({"mi/h": "mph"}.get(joined, joined), exponent)
    return Unit(" ".join(words), exponent, known=False)


def _stems(words: str) -> set[str]:
    found = re.findall(r"[a-z]+", words.lower())
    return {word.rstrip("s") for word in found if word not in SMALL}
