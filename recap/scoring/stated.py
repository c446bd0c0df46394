r"""The final answer of a math response: one reader for the reward and for the judges.

What is stated last counts: a box, ``#### 9``, "the answer is 9 ."; a response that states nothing
so is read to its end ("It is 42."). Checks ("72 / 8 = 9"), asides in brackets and questions are
no answers. Leaves out what an answer is worth (``answers``) and the thought: callers pass the
response.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from recap.scoring import units

BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*(?=\{)")
BOXED = re.compile(rf"[\s$]*(?:\\\[|\\\()?\s*{BOX.pattern}")
JOINT = re.compile(
    r"[\s$]*(?:[,;]|[,;]?\s*(?:or|and)\b|\\text\{\s*(?:or|and)\s*\})[\s$]*\\(?:boxed|fbox|framebox)\b"
)
MARK = re.compile(
    r"####(?!#)|"
    r"\b(?:(?:solutions?|roots?|zeros|zeroes)(?=\s+(?:is|are)\b)|answers?|ans)\b(?:\s+(?:to|for|of|in)\b[^.:\n]{0,80}?)?[*_\s]*"
    r"(?:\b(?:is|are|was|will\s+be|would\s+be|should\s+be|must\s+be|has\s+to\s+be|equals|becomes|"
    r"comes\s+(?:out\s+)?to|turns\s+out\s+to\s+be)\b(?!\s+not\b|n't)[*_]*\s*:?|[:=]|[*_]*\s*\n)",
    re.IGNORECASE,
)
"""Where a stated answer begins."""
FILLER = re.compile(
    r"(?:[\s:*_\"'\u201c\u201d>\u2248~]|\\approx(?![A-Za-z])|\.\.\.|(?:indeed|therefore|thus|hence|"
    r"approximately|approx\.|about|around|roughly|nearly|almost|exactly|precisely|simply|just|only|"
    r"equal\s+to|given\s+by|a\s+total\s+of|in\s+total|clearly|actually|now|option|choice|is)\b,?)*",
    re.IGNORECASE,
)
FORMULA = re.compile(
    r"\$\$(.+?)\$\$|(?<!\\)\$((?:\\.|[^$\\\n])+)(?<!\\)\$(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]",
    re.DOTALL,
)
GROUP = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
WORDS = r"(?:sqrt|pi|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|log|ln|exp)(?![A-Za-z])"
TOKEN = (
    r"(?:\\?\$(?=\s?[\d.])|\d+(?:[.,]\d+)*|\.\d+|(?<=[\d})])!|"
    rf"\\(?:[A-Za-z]+\*?|[%$!,;: {{}}])(?:\s*\[[^\[\]]*\])?(?:\s*{GROUP})*|{GROUP}|"
    "[\u221a\u03c0\u03b8\u221e\u00bd\u00bc\u00be\u2153\u2154\u2070-\u207f\u00b2\u00b3\u00b9\u00b0%]|"
    "[-+/*^=<>\u2010-\u2015\u2212\u00d7\u00b7\u22c5\u00f7\u2044\u00b1\u2264\u2265|()\\[\\]_]|"
    rf"(?<![A-Za-z'\u2019])(?:{WORDS}|(?![aAI]\s)[A-Za-z](?![A-Za-z'\u2019])))"
)
RUN = re.compile(rf"{TOKEN}(?:[ \t]*{TOKEN})*")
"""Mathematics in the midst of words."""
VALUE = re.compile(r"\d|\\(?:frac|pi|sqrt|infty|begin)|[\u221a\u03c0\u221e\u00bd\u00bc\u00be]")
MORE = re.compile(
    r"\s*(?:,|,?\s*\b(?:or|and)\b)\s*(?:(?:maybe|perhaps|possibly|even)\s+)?(?=[\d$\\-])"
)
SENTENCE_END = re.compile(
    r"(?<!\\)(?<!\.[A-Za-z])(?<!\bapprox)(?<!\bca)(?<!\bvs)(?<!\bNo)(?<!\bMr)(?<!\bDr)(?<!\bMrs)"
    r"(?:[.!]|(?P<asked>\?))[*\"')\]]*(?:\s+|$)|\n"
)
REASON = re.compile(
    r"[,;]?\s*\b(?:because|since|as|rather\s+than|instead\s+of|(?:and|but)?\s*(?<!is )not)\b",
    re.IGNORECASE,
)
CONCLUSION = re.compile(
    r"\b(?:so|thus|hence|therefore|giving|making|leaving|for\s+a\s+total\s+of|or\s+rather|i\.e\.)"
    r"[,:]?\s+(?:[^\W\d_]+\s+){0,4}?(?=[-\d$\\.\u2212])",
    re.IGNORECASE,
)
ASIDE = re.compile(r"(?<=[\w.])\s*\((?=[^()]*(?:(?<![A-Za-z\\])[A-Za-z]{2}|=))[^()]*\)")
CHECK = re.compile(
    r"^\W*(?:(?:let(?:'s|\u2019s| us| me)|we|i|i'll|you|one|can|may|could|should|will|to|as|a|hmm+|"
    r"wait|ok(?:ay)?|and|now|just|also|quick(?:ly)?|double|sanity|cross|re|please)\b[-,.\s]*)*"
    r"(?:check(?:ing)?|verif\w+|confirm\w*|proof|note|plug\w*)\b",
    re.IGNORECASE,
)
RETRACTION = re.compile(
    r"(?:^|[.!?\n(]\s*|\b(?:but|oh)\s+)(?:no\b|wait\b|hmm+\b|actually\b|oops\b|correction\b|sorry\b|"
    r"on\s+second\s+thought|scratch\s+that|(?:that|this)(?:'s|\s+is|\s+was)\s+(?:wrong|not|incorrect)|"
    r"(?:i|we)\s+(?:forgot|made))",
    re.IGNORECASE,
)
INSTEAD = re.compile(
    r"\b(?:it|that|this|the\s+\w+)\s+(?:should|must|has\s+to)\s+(?:actually\s+|really\s+)?"
    r"(?:be|have\s+been)\s+|\bmake\s+that\s+|(?:^|[.!,]\s+)(?:it's|it\u2019s|it\s+is)\s+"
    r"(?:actually\s+|really\s+)?",
    re.IGNORECASE,
)
UNSURE = re.compile(
    r"\b(?:could|might|may|maybe|perhaps|possibly|either|depends|tell|sure|unsure|between)\b",
    re.IGNORECASE,
)
LABEL = re.compile(
    r"\b(?:problem|question|exercise|step|part|case|equation|eq|figure|page|chapter|line|item|number|"
    r"no|case|example)s?\.?\s*#?\s*\(?$",
    re.IGNORECASE,
)
"""A word before a number that makes it the number of something."""
DENIED = re.compile(
    r"(?:\bnot|n't|n\u2019t|\bnever|\bcannot)(?:\s+be)?(?:\s+(?:a|the|just|only))?\s*$"
)
SENTENCE, LONGEST, NEAR, MOST_MARKS = 200, 1000, 60, 50
"""Characters before a mark in which its sentence begins, of a stated answer, and before a number;
the marks that are looked at, from the last one back: what is longer only costs time."""
BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
NAME = re.compile(r"\b(?:is|are|was|were)\s+((?:[A-Z][\w'\u2019-]*)(?:\s+[A-Z][\w'\u2019-]*)*)\W*$")
WORD = re.compile(r"[^\W\d_]{2,}")
LATEX_WORDS = re.compile(
    rf"\\(?:text|mbox|mathrm|textbf|begin|end)\s*\{{[^}}]*\}}|\\[A-Za-z]+|\b(?:or|and|{WORDS})"
)
"""Letters that are no words of a sentence: LaTeX's commands, and what joins several answers."""


def stated_answer(response: str) -> str | None:
    """The last answer that a response states, else what it ends on; ``None`` if there is none."""
    text, unfinished = _whole(_tidied(response))
    said = sorted([*_boxes(text), *_marks(text)], key=lambda mark: mark.start)
    stated = [mark for mark in said if not mark.asked]
    # "so the answer is right" states nothing anew
    for mark in reversed([mark for mark in stated if mark.exact] or stated):
        return _revised(text[mark.end :]) or mark.value
    return None if unfinished else _ending(text)


@dataclass(frozen=True)
class Mark:
    """A stated answer and where it stands; ``exact``: boxed, or with mathematics in it."""

    start: int
    end: int
    value: str
    exact: bool
    asked: bool


def _tidied(text: str) -> str:
    """Formulas on one line each, so that lines and sentences can be told apart."""
    text = re.sub(r"\bi\.e\.,?", "i.e.", text.replace("\r", ""))
    if "\\" in text or "$" in text:
        text = FORMULA.sub(lambda found: found[0].replace("\n", " "), text)
    return units.compounds(text)


def _whole(text: str) -> tuple[str, bool]:
    """The text before a box that never closes, and whether there is one."""
    for found in BOX.finditer(text):
        if _closing(text, found.end()) is None:
            return text[: found.start()].rstrip(" $"), True
    return text, False


def _boxes(text: str) -> Iterator[Mark]:
    """Each box, with those after it that only "or" or a comma parts."""
    found = [(box.start(), box.end(), _closing(text, box.end())) for box in BOX.finditer(text)]
    joined: list[str] = []
    for place, (start, opening, closing) in enumerate(found):
        assert closing is not None  # the text ends before a box that never closes
        content = text[opening + 1 : closing].strip()
        if BOX.search(content):
            continue  # the inner one counts
        joined.append(content)
        if place + 1 < len(found) and JOINT.match(text, closing + 1):
            continue
        value, joined = ", ".join(dict.fromkeys(filter(None, joined))), []
        rest = text[closing + 1 : closing + 40]
        if value:
            yield Mark(start, closing + 1, _with_unit(value, rest), True, _asked(rest.lstrip(" $")))


def _with_unit(value: str, rest: str) -> str:
    """A number with the known unit behind it."""
    number = value.strip("$ ")
    unit = units.measured(rest.lstrip("$*")) if re.fullmatch(r"[-\d.,/]+", number) else ""
    return f"{number} {unit.strip()}" if unit else value


def _marks(text: str) -> Iterator[Mark]:
    """What stands behind each "answer is" and each ``####``."""
    for mark in list(MARK.finditer(text))[-MOST_MARKS:]:
        before = max(0, mark.start() - SENTENCE)
        begins = [stop.end() for stop in SENTENCE_END.finditer(text, before, mark.start())]
        if CHECK.search(text[max(begins, default=before) : mark.start()]):
            continue
        start = FILLER.match(text, mark.end())
        assert start is not None
        begin = start.end()
        if BOXED.match(text, begin):
            continue  # read as a box
        if formula := FORMULA.match(text, begin):
            end = formula.end()
            value = formula[0] if _amount(formula) is None else text[begin:end]
            while more := MORE.match(text, end):
                following = FORMULA.match(text, more.end()) or RUN.match(text, more.end())
                if following is None:
                    break
                value, end = f"{value}, {following[0]}", following.end()
            yield Mark(mark.start(), end, _with_unit(value, text[end:]), True, _asked(text[end:]))
            continue
        stop = SENTENCE_END.search(text, begin, begin + LONGEST)
        end = stop.start() if stop else min(len(text), begin + LONGEST)
        value = _of_sentence(text[begin:end])
        if value:
            asked = stop is not None and stop["asked"] is not None
            yield Mark(mark.start(), end, value, VALUE.search(value) is not None, asked)


def _of_sentence(sentence: str) -> str:
    """The value that the rest of a sentence states, which begins where the answer does."""
    sentence = re.sub(
        r"^([-$\d.,]+)\s+\([^()]*[-+*/=\u00d7\u00f7][^()]*\)", r"\1", ASIDE.sub("", sentence)
    )
    reason = REASON.search(sentence)
    sentence = (sentence[: reason.start()] if reason else sentence).strip(" *_\"'\u201c\u201d")
    if not WORD.search(LATEX_WORDS.sub("", sentence)):
        return sentence
    runs = _runs(sentence)
    if not runs:
        return sentence.rstrip(".,;: ")
    concluded = [
        value
        for so in CONCLUSION.finditer(sentence)
        for place, _, value in runs
        if so.start() < place <= so.end()
    ]
    if concluded:
        return concluded[-1]
    first = runs[0]
    value, end = first[2], first[1]
    while more := MORE.match(sentence, end):
        following = [run for run in runs if run[0] == more.end()]
        if not following:
            break
        value, end = f"{value}, {following[0][2]}", following[0][1]
    if end > first[1]:
        return value
    if sentence[: first[0]].strip(" $"):
        return runs[-1][2]
    if part := re.match(r"\s+of\s+(?=[-\d$])", sentence[end:]):  # "1/3 of 90 = 30"
        worked = [run for run in runs if run[0] == end + part.end() and "=" in run[2]]
        value = worked[0][2] if worked else value
    return value + _label(sentence[end:])


def _label(rest: str) -> str:
    """What is counted or measured: up to six words behind the number."""
    words = re.match(r"\s*(?:[A-Za-z][A-Za-z.^/\d\u00b2\u00b3]*\s*){1,6}", rest)
    return f" {words[0].strip()}" if words else ""


def _revised(rest: str) -> str | None:
    """What a retraction behind the stated answer puts in its place: "No, it should be 8."."""
    if not RETRACTION.search(rest):
        return None
    said = INSTEAD.finditer(rest)
    values = [run for found in said for run in _runs(rest[found.end() :])[:1] if run[0] == 0]
    return values[-1][2] if values else None


def _ending(text: str) -> str | None:
    """The formula or number that a response ends on which marks no answer."""
    bare = text.strip()
    if not WORD.search(LATEX_WORDS.sub("", bare)):
        return bare or None
    sentences = [sentence for sentence, asked in _sentences(text) if not CHECK.search(sentence)]
    for sentence in reversed(sentences):
        if name := NAME.search(sentence):
            return name[1]
        values = [*_runs(ASIDE.sub("", sentence)), *FORMULA.finditer(sentence)]
        if values:
            several = len(set(NUMERAL.findall(sentence))) > 1
            return None if UNSURE.search(sentence) and several else _last_value(sentence)
    return None if len(WORD.findall(bare)) > 3 else bare


def _last_value(sentence: str) -> str | None:
    """Bold face, else the last formula or number of a sentence."""
    sentence = ASIDE.sub("", sentence)
    bold = [found[1] for found in BOLD.finditer(sentence) if re.search(r"\d", found[1])]
    if bold:
        runs = _runs(bold[-1])
        return runs[-1][2] if runs else None
    formulas = [
        (found.end(), found.start(), found[0])
        for found in FORMULA.finditer(sentence)
        if _amount(found) is None
    ]
    spans = [(begin, end) for end, begin, _ in formulas]
    runs = [
        (end, begin, value)
        for begin, end, value in _runs(sentence)
        if not any(low <= begin < high for low, high in spans)
    ]
    end, _, value = max([*formulas, *runs], default=(0, 0, None))
    return None if value is None else _with_unit(value, sentence[end:])


NUMERAL = re.compile(r"\d+(?:[.,]\d+)*")


def _runs(sentence: str) -> list[tuple[int, int, str]]:
    """Start, end and text of the mathematics between words."""
    runs = []
    for found in RUN.finditer(sentence):
        value, begin = found[0], found.start()
        lead = re.match(r"(?:[A-Za-z]\s+(?=[\d$])|[=:/*)\]^|>]\s*|-\s+)+", value)
        if lead:
            value, begin = value[lead.end() :], begin + lead.end()
        value = re.sub(r"(?:\s+[aAI]|\s*(?:[-+/*^=<(\[|]|\\?\$))+$", "", value)
        while value.endswith((")", "]")) and value.count("(") + value.count("[") < value.count(
            ")"
        ) + value.count("]"):
            value = value[:-1]
        if value.startswith("(") and value.count("(") > value.count(")"):
            value, begin = value[1:], begin + 1
        before = sentence[max(0, begin - NEAR) : begin]
        if VALUE.search(value) and not LABEL.search(before) and not DENIED.search(before):
            runs.append((begin, begin + len(value), value))
    return runs


def _amount(formula: re.Match[str]) -> str | None:
    """A pair of dollar signs that are money: "$5 and has $"."""
    content = formula[2]
    return content if content is not None and re.search(r"[a-z]{2,}\s+[a-z]{2,}", content) else None


def _sentences(text: str) -> list[tuple[str, bool]]:
    """Sentences with something in them, and whether each is a question."""
    begin, found = 0, []
    for stop in [*SENTENCE_END.finditer(text), None]:
        end = stop.start() if stop else len(text)
        if text[begin:end].strip():
            asked = stop is not None and stop["asked"] is not None
            found.append((text[begin:end].strip(), asked))
        begin = stop.end() if stop else end
    return found


def _asked(rest: str) -> bool:
    """Whether a question mark ends what was stated."""
    return re.match(r"[\s$*.]*\?", rest) is not None


def _closing(text: str, start: int) -> int | None:
    """Where the brace at ``start`` closes."""
    depth = 0
    for index in range(start, len(text)):
        if text[index - 1] != "\\":
            depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return index
    return None
