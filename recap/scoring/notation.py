r"""One spelling for answers: signs, spaces, brackets and LaTeX's many ways to the same mark.

``plain`` writes an answer so that equal spellings are equal text; ``number`` reads a plain number
as a fraction. Leaves out what a formula means (``formulas``) and what a unit is (``units``).
"""

from __future__ import annotations

import re
from fractions import Fraction

SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u200a\u202f\u2002\u2003\u3000", " "),
        **dict.fromkeys("\u200b\u2060\ufeff", ""),
        **dict.fromkeys("\u2018\u2019\u2032", "'"),
        **dict.fromkeys("\u201c\u201d", '"'),
        "\u00d7": r"\cdot ", "\u00b7": r"\cdot ", "\u22c5": r"\cdot ", "\u2217": r"\cdot ",
        "\u00f7": "/", "\u2044": "/", "\u2215": "/",
        "\u2264": r"\le ", "\u2265": r"\ge ", "\u2260": r"\ne ", "\u2248": r"\approx ",
        "\u00b1": r"\pm ", "\u221e": r"\infty ", "\u222a": r"\cup ", "\u2208": r"\in ",
        "\u2205": r"\emptyset ", "\u211d": r"\mathbb{R}", "\u00b0": r"^{\circ}",
        "\u03c0": r"\pi ", "\u03b8": r"\theta ", "\u03b1": r"\alpha ", "\u03b2": r"\beta ",
        "\u03bb": r"\lambda ", "\u03bc": r"\mu ", "\u03c6": r"\phi ", "\u03c9": r"\omega ",
        "\u00bd": r" \frac{1}{2}", "\u2153": r" \frac{1}{3}", "\u2154": r" \frac{2}{3}",
        "\u00bc": r" \frac{1}{4}", "\u00be": r" \frac{3}{4}", "\u215b": r" \frac{1}{8}",
        "\uff0c": ",", "\uff1d": "=", "\uff08": "(", "\uff09": ")", "\uff05": "%", "\uff1a": ":",
    }
)  # fmt: skip
RAISED = str.maketrans(
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b\u207f", "0123456789-n"
)
LOWERED = str.maketrans(
    "\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089", "0123456789"
)
SUBSTITUTIONS = tuple(
    (re.compile(pattern), new)
    for pattern, new in (
        (r"\\(?:left|right|big|Big|bigg|Bigg)(?:[lrm])?(?![A-Za-z])\s*\.?", ""),
        (r"\\(?:displaystyle|textstyle|limits|quad|qquad|hfill|mathstrut)(?![A-Za-z])", " "),
        (r"\\(?:mathrm|mathit|textrm|rm)\s+([A-Za-z])(?![A-Za-z])", r" \1 "),
        (r"(?<=\d)\s*[xX]\s*(?=10\s*\^)", r"\\cdot "),
        (r"(?<!\\)\$([^$]+?)(?<!\\)\$", r"\1"),
        (r"(?<!\\)\\(?:[,;:! ]|thinspace(?![A-Za-z])|\s)|(?<!\\)~", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:leq|leqslant)(?![A-Za-z])", r"\\le"),
        (r"\\(?:geq|geqslant)(?![A-Za-z])", r"\\ge"),
        (r"\\(?:neq|not\s*=)", r"\\ne"),
        (r"\\lt(?![A-Za-z])|&lt;", "<"),
        (r"\\gt(?![A-Za-z])|&gt;", ">"),
        (r"<=|=<", r"\\le "),
        (r">=", r"\\ge "),
        (r"!=", r"\\ne "),
        (r"\\(?:times|ast)(?![A-Za-z])|\*", r"\\cdot "),
        (r"\\div(?![A-Za-z])", "/"),
        (r"\\(?:varnothing|O)(?![A-Za-z])|\\\{\s*\\\}", r"\\emptyset"),
        (r"\\(?:lvert|rvert|vert|mid)(?![A-Za-z])", "|"),
        (r"\\(?:lbrace)(?![A-Za-z])", r"\\{"),
        (r"\\(?:rbrace)(?![A-Za-z])", r"\\}"),
        (r"\\(?:langle|lparen)(?![A-Za-z])", "("),
        (r"\\(?:rangle|rparen)(?![A-Za-z])", ")"),
        (r"\\(?:lbrack)(?![A-Za-z])", "["),
        (r"\\(?:rbrack)(?![A-Za-z])", "]"),
        (r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|\\degree(?![A-Za-z])", r"^{\\circ}"),
        (r"(?<=\d)\s*degrees?\b", r"^{\\circ}"),
        (r"\\(?:mathrm|textrm|textit|mathit|text|mbox|operatorname)\s*\{\s*([ei])\s*\}", r" \1 "),
        (r"\{\\(?:rm|bf|it)\s+([^{}]*)\}", r"\\text{\1}"),
        (
            r"\\(?:mathrm|textrm|textit|mathit|mbox|textnormal|operatorname\*?|mathsf|textsf)\s*"
            r"(?=\{)",
            r"\\text",
        ),
        (r"\\text\s*\{\s*(sin|cos|tan|cot|sec|csc|ln|log|exp|arcsin|arccos|arctan)\s*\}", r"\\\1 "),
        (r"\\text\s*\{\s*[.,]?\s*\}", ""),
        (r"\\text\s*\{\s*(?:,\s*)?(?:and|or)\s*\}|(?<=[\d)}\]])\s*,?\s*\b(?:and|or)\b", ", "),
        (r"\\(?:textbf|mathbf|boldsymbol|bm|underline|emph)\s*\{([^{}]*)\}", r"\1"),
        (r"\b(?:negative|minus)\s+(?=[\d$])", "-"),
    )
)
GROUPED = re.compile(r"(?<=\d)(?:,?\\!,?|\\,|[\u2009\u202f\u00a0]|\{,\})\s*(?=\d{3}(?!\d))")
"""A mark that parts thousands and nothing else."""
THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!\d)")
WRAPPED = (
    re.compile(r"\$\$(.*)\$\$", re.DOTALL),
    re.compile(r"\$((?:\\.|[^$\\])*)\$", re.DOTALL),
    re.compile(r"\\\((.*)\\\)", re.DOTALL),
    re.compile(r"\\\[(.*)\\\]", re.DOTALL),
    re.compile(r"\*\*(.*)\*\*", re.DOTALL),
    re.compile(r"\\(?:boxed|fbox|framebox|text|textbf|mathbf|boldsymbol|mbox)\s*\{([^{}]*)\}"),
)
NUMBER = re.compile(
    r"(?P<sign>[-+]?)\s*(?:"
    r"(?P<whole>\d+)\s+(?P<mixed>\d+\s*/\s*\d+)"
    r"|(?P<top>\d+)\s*/\s*(?P<bottom>\d+)"
    r"|(?P<decimal>\d+(?:\.\d*)?|\.\d+)(?:\\overline\{(?P<period>\d+)\})?"
    r"(?:[eE](?P<exponent>[-+]?\d{1,3})|\s*\\cdot\s*10\s*\^\s*\{?\s*(?P<power>-?\d{1,3})\s*\}?)?"
    r")"
)
LONGEST_NUMBER = 1000
"""Characters; Python itself refuses to read 4300 digits."""
FRACTION = re.compile(r"\\frac\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))")


ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
WORDS = {word: place for place, word in enumerate(ONES)}
WORDS |= {word: 10 * place for place, word in enumerate(TENS, start=2)}
SPOKEN = re.compile(
    rf"(?:{'|'.join(sorted(WORDS, key=len, reverse=True))})\b"
    rf"(?:[-\s]+(?:and\s+)?(?:{'|'.join(WORDS)}|hundred|thousand|million)\b)*",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """The answer without what surrounds it (dollars, bold face, a final stop), in one spelling."""
    text = text.strip()
    text = unwrapped(text)
    text = re.sub("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207b\u207f]+", _raised, text)
    text = re.sub("[\u2080-\u2089]+", lambda found: f"_{{{found[0].translate(LOWERED)}}}", text)
    text = GROUPED.sub(",", text).translate(SIGNS)
    for pattern, new in SUBSTITUTIONS:
        text = pattern.sub(new, text)
    if not re.search(r"[(\[]|\\\{", text):  # (100,200) is a pair
        text = THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
    return _counted(re.sub(r"\s+", " ", unwrapped(text)).strip())


def unwrapped(text: str) -> str:
    """The text within dollars, bold face or one box, without a final stop."""
    before = None
    while text != before:
        before, text = text, text.strip()
        if text.endswith((".", ",", ";", ":")) and not text.endswith((r"\,", r"\;", r"\:")):
            text = text[:-1].rstrip()
        for pattern in WRAPPED:
            if whole := pattern.fullmatch(text):
                text = whole[1]
    return text


def squeezed(text: str) -> str:
    """``plain`` text without spaces and braces that do not matter: equal here is equal."""
    text = re.sub(r"\\text\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"(?<![A-Za-z])\{(\w)\}", r"\1", text)
    text = re.sub(r"\\cdot(?![A-Za-z])", "*", text)
    if len(text) > 1 and not re.search(r"[\\^_=+*/\d]", text):
        text = text.casefold().strip(" ().\"'")  # words
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)


def number(text: str) -> Fraction | None:
    """The value of a plain number: 12, -1.5, .5, 3/4, 1 1/2, 2e-3; ``None`` for all else."""
    if len(text) > LONGEST_NUMBER:
        return None
    if "\\frac" in text:
        text = FRACTION.sub(lambda m: f" {m[1] or m[2]}/{m[3] or m[4]}", text).strip()
    found = NUMBER.fullmatch(re.sub(r"^([-+])\s+", r"\1", text))
    if found is None or re.search(r"/\s*0+$", text):
        return None
    if found["mixed"]:
        value = int(found["whole"]) + Fraction(found["mixed"].replace(" ", ""))
    elif found["top"]:
        value = Fraction(int(found["top"]), int(found["bottom"]))
    else:
        value = Fraction(found["decimal"])
        if period := found["period"]:
            if "." not in found["decimal"]:
                return None
            places = len(found["decimal"].partition(".")[2])
            value += Fraction(int(period), (10 ** len(period) - 1) * 10**places)
        value *= Fraction(10) ** int(found["exponent"] or found["power"] or 0)
    return -value if found["sign"] == "-" else value


def _raised(found: re.Match[str]) -> str:
    return f"^{{{found[0].translate(RAISED)}}}"


def _counted(text: str) -> str:
    """With digits for the number words that it begins with: "seventy-two apples"."""
    spoken = SPOKEN.match(text)
    if spoken is None:
        return text
    total = group = 0
    for word in re.findall("[a-z]+", spoken[0].lower()):
        if word == "hundred":
            group = (group or 1) * 100
        elif word in ("thousand", "million"):
            total += (group or 1) * (1000 if word == "thousand" else 10**6)
            group = 0
        else:
            group += WORDS.get(word, 0)
    return f"{total + group}{text[spoken.end() :]}"
