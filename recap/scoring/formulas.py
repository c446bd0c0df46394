r"""Formulas as trees: a small grammar of LaTeX and of plain text that is read whole or not at all.

Numbers, letters, ``+ - * / ^ ! | |``, fractions, roots, logarithms, trigonometry, binomials, floor
and ceiling. Two numbers side by side, an unknown command, a bracket that does not close: the
formula is unread, never read in part. Leaves out what a tree is worth (``values``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

WORD = re.compile(
    r"(?<![A-Za-z\\])(?!sqrt|arc|sin|cos|tan|cot|sec|csc|log|exp)[A-Za-z]{4,}|^[A-Za-z]{3,}$"
)
"""Letters that are a word and no product of variables."""
LONGEST = 400
"""Characters of a formula; what is longer is no answer."""
DEEPEST = 40
"""Brackets within brackets."""
FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "ln",
        "lg",
        "log",
        "exp",
    ]
)
GREEK = frozenset(
    [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "varepsilon",
        "zeta",
        "eta",
        "theta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "rho",
        "sigma",
        "tau",
        "upsilon",
        "phi",
        "varphi",
        "chi",
        "psi",
        "omega",
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Xi",
        "Sigma",
        "Phi",
        "Psi",
        "Omega",
    ]
)
TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?|\.\d+)|\\(?P<command>[A-Za-z]+|%)|"
    r"(?P<word>sqrt|arcsin|arccos|arctan|sin|cos|tan|cot|sec|csc|log|ln|exp|pi)(?![A-Za-z])|"
    r"(?P<letter>[A-Za-z])|(?P<sign>[-+*/^_!|(){}\[\]\u221a]))"
)
CLOSING = {"(": ")", "[": "]", "{": "}"}


class UnreadError(Exception):
    """Not a formula of this grammar."""


@dataclass(frozen=True)
class Tree:
    """An operation on trees; leaves are "number" and "symbol"."""

    kind: str
    parts: tuple[Tree, ...] = ()
    number: Fraction = Fraction(0)
    name: str = ""

    def symbols(self) -> frozenset[str]:
        """The names of the variables in it."""
        own = frozenset([self.name] if self.kind == "symbol" else [])
        return own.union(*(part.symbols() for part in self.parts))


def read(text: str) -> Tree | None:
    """The tree of a ``plain`` formula; ``None`` if any part of it is not understood."""
    if len(text) > LONGEST or WORD.search(text):
        return None
    try:
        reader = _Reader(text)
        tree = reader.sum()
        return tree if reader.at_end() else None
    except UnreadError:
        return None


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        place, text = 0, text.rstrip()
        while place < len(text):
            found = TOKEN.match(text, place)
            if found is None:
                raise UnreadError
            kind = str(found.lastgroup)
            value = found[kind]
            if value in ("sqrt", "\u221a") and kind != "command":
                kind, value = "command", "root"
            if kind == "word":
                kind = "command"
            if (kind, value) == ("command", "cdot"):
                kind, value = "sign", "*"
            self._tokens.append((kind, value))
            place = found.end()
        self._place = self._depth = 0
        self._bars = False

    def at_end(self) -> bool:
        return self._place == len(self._tokens)

    def _peek(self) -> tuple[str, str]:
        return ("", "") if self.at_end() else self._tokens[self._place]

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._place += 1
        return token

    def _take(self, sign: str) -> bool:
        if self._peek() != ("sign", sign):
            return False
        self._place += 1
        return True

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise UnreadError

    def sum(self) -> Tree:
        self._depth += 1
        if self._depth > DEEPEST:
            raise UnreadError
        minus = self._sign()
        total = self._signed(self._product(), minus)
        while self._peek() in (("sign", "+"), ("sign", "-")):
            minus = (self._next()[1] == "-") != self._sign()
            total = Tree("add", (total, self._signed(self._product(), minus)))
        self._depth -= 1
        return total

    def _sign(self) -> bool:
        """Whether a minus stands here; a plus does nothing."""
        if self._take("-"):
            return True
        self._take("+")
        return False

    @staticmethod
    def _signed(tree: Tree, minus: bool) -> Tree:
        return Tree("minus", (tree,)) if minus else tree

    def _product(self) -> Tree:
        product = self._power()
        slash = False
        while True:
            if self._take("*"):
                product = Tree("times", (product, self._factor()))
                slash = False
            elif self._take("/"):
                below = self._factor()
                # "1/2 x" is a half of x; what "a/bx" means nobody can say
                slash = not (product.kind == below.kind == "number")
                product = Tree("over", (product, below))
            elif self._starts():
                if slash or self._peek()[0] == "number":
                    raise UnreadError
                product = self._mixed(product, self._power())
            else:
                return product

    def _factor(self) -> Tree:
        minus = self._sign()
        return self._signed(self._power(), minus)

    def _starts(self) -> bool:
        """Whether another factor begins here."""
        kind, value = self._peek()
        if kind == "sign":
            return value in "({[" or (value == "|" and not self._bars)
        return kind in ("number", "letter") or (
            kind == "command" and value not in ("rfloor", "rceil")
        )

    @staticmethod
    def _mixed(left: Tree, right: Tree) -> Tree:
        r"""``1 \frac{1}{2}`` is three halves; all else side by side is a product."""
        halves = right.kind == "over" and all(p.kind == "number" for p in right.parts)
        if left.kind == "number" and halves:
            if left.number.denominator > 1 or right.parts[0].number >= right.parts[1].number:
                raise UnreadError
            return Tree("add", (left, right))
        return Tree("times", (left, right))

    def _power(self) -> Tree:
        base = self._base()
        while self._take("!"):
            base = Tree("factorial", (base,))
        if self._take("^"):
            if self._degrees():
                return Tree("times", (base, Tree("degree")))
            exponent = self._argument()
            base = Tree("power", (base, exponent))
            if self._peek() == ("sign", "^"):
                raise UnreadError
        return base

    def _degrees(self) -> bool:
        marks = [("sign", "{"), ("command", "circ"), ("sign", "}")]
        if self._tokens[self._place : self._place + 3] != marks:
            return False
        self._place += 3
        return True

    def _argument(self) -> Tree:
        r"""What LaTeX takes behind ``^``, ``\frac`` or ``\sqrt``: a group, or one sign of it."""
        if self._take("{"):
            inner = self.sum()
            self._expect("}")
            return inner
        minus = self._take("-")
        return self._signed(self._base(), minus)

    def _digit(self) -> Tree:
        r"""As ``_argument``, where ``\frac12`` has two digits for two arguments."""
        kind, value = self._peek()
        if kind == "number" and value.isdigit() and len(value) > 1:
            self._tokens[self._place] = (kind, value[1:])
            return Tree("number", number=Fraction(value[0]))
        if (kind, value) == ("sign", "("):
            raise UnreadError
        return self._argument()

    def _base(self) -> Tree:
        kind, value = self._next()
        if kind == "number":
            return Tree("number", number=Fraction(value))
        if kind == "letter":
            return self._letter(value)
        if kind == "command":
            return self._command(value)
        if kind == "sign" and value in CLOSING:
            bars, self._bars = self._bars, False
            inner = self.sum()
            self._expect(CLOSING[value])
            self._bars = bars
            # nothing but the grammar's own groups parts a number from its brackets: 2(3) is six
            return Tree("times", (Tree("number", number=Fraction(1)), inner))
        if (kind, value) == ("sign", "|") and not self._bars:
            self._bars = True
            inner = self.sum()
            self._expect("|")
            self._bars = False
            return Tree("abs", (inner,))
        raise UnreadError

    def _letter(self, name: str) -> Tree:
        if self._take("_"):
            return Tree("symbol", name=f"{name}_{self._index()}")
        return Tree(name) if name in ("e", "i") else Tree("symbol", name=name)

    def _index(self) -> str:
        if not self._take("{"):
            kind, value = self._next()
            if kind not in ("number", "letter"):
                raise UnreadError
            return value
        parts = []
        while not self._take("}"):
            kind, value = self._next()
            if kind not in ("number", "letter"):
                raise UnreadError
            parts.append(value)
        return "".join(parts)

    def _command(self, name: str) -> Tree:
        if name == "frac":
            return Tree("over", (self._digit(), self._digit()))
        if name == "binom":
            return Tree("binom", (self._digit(), self._digit()))
        if name in ("sqrt", "root"):
            return self._root(name == "sqrt")
        if name in FUNCTIONS:
            return self._function(name)
        if name in ("lfloor", "lceil"):
            inner = self.sum()
            if self._next() != ("command", name.replace("l", "r", 1)):
                raise UnreadError
            return Tree("floor" if name == "lfloor" else "ceil", (inner,))
        if name in ("pi", "infty"):
            return Tree(name)
        if name in GREEK:
            return self._letter(f"\\{name}")
        raise UnreadError

    def _root(self, latex: bool) -> Tree:
        index = Tree("number", number=Fraction(2))
        if latex and self._take("["):
            index = self.sum()
            self._expect("]")
        kind, value = self._peek()
        if latex and kind == "number" and len(value) > 1:
            raise UnreadError  # \\sqrt12 is the root of 1, then a 2: nobody means that
        return Tree("root", (self._argument(), index))

    def _function(self, name: str) -> Tree:
        base: tuple[Tree, ...] = ()
        exponent = None
        if name == "log" and self._take("_"):
            base = (self._digit(),)
        if self._take("^"):
            exponent = self._argument()
        bracket = self._peek() in (("sign", "("), ("sign", "{"), ("sign", "["))
        inner = self._base() if bracket else self._run()
        if bracket and self._peek() == ("sign", "^"):
            raise UnreadError  # of the argument or of the function?
        if exponent == Tree("minus", (Tree("number", number=Fraction(1)),)):
            if name not in ("sin", "cos", "tan"):
                raise UnreadError
            return Tree(f"arc{name}", (inner,))
        result = Tree(name, (inner, *base))
        return result if exponent is None else Tree("power", (result, exponent))

    def _run(self) -> Tree:
        r"""The factors side by side behind a function: ``\sin 2x``; another function ends them."""
        product = self._factor()
        while self._starts() and self._peek()[1] not in FUNCTIONS and self._peek()[0] != "number":
            if self._peek() in (("sign", "("), ("sign", "{"), ("sign", "[")):
                raise UnreadError
            product = self._mixed(product, self._power())
        return product
