"""Answers to sums: what is read of a response, what equals the target, and what never may."""

from __future__ import annotations

import time
from fractions import Fraction

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.judges.correctness import MathJudge
from recap.rewards.math import math_reward
from recap.scoring import formulas, library, values
from recap.scoring.answers import equals, is_correct
from recap.types.prompts import PromptRecord
from tests.unit.test_judges import _completion


@pytest.mark.parametrize(
    ("response", "target"),
    [
        (r"\boxed{1-\frac1{\mathrm e}}", r"1-\frac{1}{e}"),
        (r"\boxed{\frac1{2006!}}", r"\frac{1}{2006!}"),
        (r"\boxed{4\sqrt(2)}", r"4\sqrt{2}"),
        (r"\boxed{500\text{ cm}}", r"5\text{ m}"),
        (r"\boxed{\{1,2\}}", r"\{2,1\}"),
        (r"\boxed{\sqrt{1/n}}", r"1/\sqrt n"),
        (r"\boxed{50\%}", "0.5"),
        (r"\boxed{1 1/2}", "3/2"),
        ("The answer is 1 1/2.", r"\frac{3}{2}"),
        ("Answer: 72. Check: 72 / 8 = 9.", "72"),
        ("The answer is approximately 3.14", "3.14"),
        ("200 minutes in total (3 h 20 min).", "200"),
        ("#### 48 clips, then 24 more, so 72.", "72"),
        (r"Maybe \boxed{5}? No. Wait, the answer is 7.", "7"),
        ("It is 42.", "42"),
        (r"The answer is $\frac{1}{2}$, or 0.5.", "0.5"),
        ("The answer is 5 km.", "5"),
        ("So the total cost is $1,234.50.", "1234.5"),
        (r"So the total cost is \$1,234.50.", "1234.5"),
        ("Therefore, she has 5 * 3 = 15 apples left.", "15"),
        ("After 3 days she has 20 left.", "20"),
        ("The answer is x = 5.", "5"),
        (r"The final answer is $\boxed{(2, 3)}$", "(2,3)"),
        ("**72**", "72"),
        ("The answer is **72 clips**.", "72"),
        ("The answer is: 72 clips in April and May combined.", "72"),
        ("#### 72 clips", "72"),
        ("####72", "72"),
        ("#### $72", "72"),
        ("#### 72.00", "72"),
        ("#### 72 (48 + 24)", "72"),
        ("#### 72\n\nLet me know if you need anything else 24/7!", "72"),
        (r"\boxed{x^2+2x+1}", "(x+1)^2"),
        (r"\boxed{2(3)}", "6"),
        (r"\boxed{\sqrt{x^2}}", "|x|"),
        (r"\boxed{\text{A}}", r"\text{(A)}"),
        ("The answer is (C).", "C"),
        (r"\boxed{y=2x+3}", "2x+3"),
        (r"\boxed{2x-y+3=0}", "y=2x+3"),
        (r"\boxed{x+y\le 3}", r"3\ge x+y"),
        (r"\boxed{x>5}", r"(5,\infty)"),
        (r"\boxed{x<-2 \text{ or } x>2}", r"(-\infty,-2)\cup(2,\infty)"),
        (r"\boxed{[2,5)}", r"2\le x<5"),
        (r"\boxed{45^\circ}", "45"),
        (r"\boxed{\begin{pmatrix}1\\2\end{pmatrix}}", r"\begin{bmatrix} 1 \\ 2 \end{bmatrix}"),
        (r"\boxed{\sqrt2/2}", r"\frac{1}{\sqrt2}"),
        (r"\boxed{\frac{1+\sqrt{5}}{2}}", r"\frac{\sqrt5+1}2"),
        (r"\boxed{\log_2 8}", "3"),
        (r"\boxed{\sin 30^\circ}", "1/2"),
        (r"\boxed{e^{i\pi}}", "-1"),
        (r"\boxed{5!}", "120"),
        (r"\boxed{.35625}", ".35625"),
        ("The answer is .5.", r"\frac12"),
        (r"\boxed{\ln e^2}", "2"),
        (r"\boxed{12\text{ square cm}}", r"12\text{ cm}^2"),
        (r"\boxed{12 cm^2}", "12"),
        (r"\boxed{\text{50 cents}}", r"\$0.50"),
        ("The answer is $0.50.", "0.5"),
        ("The answer is 5, not 6.", "5"),
        ("I think the answer is 5? Hmm, no: the answer is 6.", "6"),
        ("Final Answer\n\n72", "72"),
        ("## Final Answer:\n\n**72**", "72"),
        ("Final answer: $72$ clips", "72"),
        ("The correct answer is therefore 72.", "72"),
        ("My answer: -3", "-3"),
        ("Answer: \u22123", "-3"),
        ("Answer: \u20133", "-3"),
        ("Answer - 72", "72"),
        ("The answer is 2^10.", "1024"),
        ("The answer is 1/3 of 90 = 30.", "30"),
        ("The answer is 72, because 48 + 24 = 72 and 72/8 = 9.", "72"),
        ("The answer is 72. To verify: 72 / 8 = 9.", "72"),
        ("She sold 72 clips. (Check: 72 / 8 = 9.)", "72"),
        ("She sold 72 clips. Check: 72 - 48 = 24.", "72"),
        ("So the answer is 72. This is the answer to problem 5.", "72"),
        ("The answer to question 3 is 72.", "72"),
        ("The answer is ten.", "10"),
        ("The answer is one hundred and five.", "105"),
        ("The answer is 5%.", r"5\%"),
        ("The answer is 5%.", "0.05"),
        ("The answer is 25%.", "25"),
        ("The answer is 25.", r"25\%"),
        ("The answer is 0.25.", r"25\%"),
        ("The answer is 1e3.", "1000"),
        ("The answer is 3.0 x 10^8.", r"3\times10^8"),
        ("the answer is 14 .", "14"),
        ("the answer is 7 . no . the answer is 9 .", "9"),
        (r"\boxed{f(x)=2x+1}", "2x+1"),
        (r"\boxed{x\in\{1,2\}}", "1,2"),
        (r"\boxed{\emptyset}", r"\varnothing"),
        (r"\boxed{\{\}}", r"\emptyset"),
        (r"\boxed{0.\overline{3}}", r"\frac13"),
        (r"\boxed{12:30}", "12:30"),
        (r"\boxed{3\frac{1}{2}}", "3.5"),
        (r"\boxed{-3\frac{1}{2}}", "-3.5"),
        (r"\boxed{x_1=2, x_2=3}", "2,3"),
        (r"\boxed{(x,y)=(2,3)}", "(2,3)"),
        (r"\boxed{a+b}", "b+a"),
        (r"\boxed{1,234,567}", "1234567"),
        (r"\boxed{\sum_{k=1}^{n} k}", r"\sum_{k = 1}^n k"),
        ("The probability is 1/3.", r"\frac13"),
        ("There are 3/4 of them, that is 75%.", "0.75"),
        ("We have 12 apples and 15 pears, so 27 fruits.", "27"),
        ("She pays 3 dollars for each of the 4 books, so $12.", "12"),
        ("Step 1: 3+4=7\nStep 2: 7*2=14\nSo he has 14.", "14"),
        ("So the answer is 6.\n\nStep 4 complete.", "6"),
        (r"5 \boxed{\boxed{7}}", "7"),
        ("The answers are 3 and 5.", "3, 5"),
        ("The solutions are $x=3$ and $x=5$.", "3,5"),
    ],
)
def test_correct(response: str, target: str) -> None:
    assert is_correct(response, target) is True


@pytest.mark.parametrize(
    ("response", "target"),
    [
        (r"\boxed{1-\frac1{\mathrm e}}", r"1+\frac1{\mathrm e}"),
        (r"\boxed{\frac1{2006!}}", r"\frac1{2004!}"),
        (r"\boxed{4\sqrt(2)}", "4"),
        (r"\boxed{5\text{ m}}", r"5\text{ km}"),
        (r"\boxed{5 m}", r"5\text{ km}"),
        (r"\boxed{\{1,2\}}", "(1,2)"),
        (r"\boxed{3, 4}", "(3, 4)"),
        (r"\boxed{(3,4)}", "3,4"),
        ("Answer: 72. Check: 72 / 8 = 9.", "9"),
        ("200 minutes in total (3 h 20 min).", "20"),
        (r"Maybe \boxed{5}? No. Wait, the answer is 7.", "5"),
        ("It is 42.", "2"),
        ("The answer is 5 km.", r"5\text{ m}"),
        ("Therefore, she has 5 * 3 = 15 apples left.", "3"),
        (r"The final answer is $\boxed{(2, 3)}$", "(3,2)"),
        (r"\boxed{\frac{3}{0}}", "3"),
        (r"\boxed{2(3)}", "5"),
        (r"\boxed{3 4}", "7"),
        (r"\boxed{3 4}", "34"),
        (r"\boxed{2x=10}", "5"),
        (r"\boxed{2x=5}", "5"),
        (r"\boxed{X}", "x"),
        (r"\boxed{1+10^{-20}}", "1"),
        (r"\boxed{0.0000001}", "0.0000002"),
        (r"\boxed{0.333333}", r"\frac13"),
        (r"\boxed{1+e^{-200}}", "1"),
        (r"\boxed{\sqrt{x^2}}", "x"),
        (r"\boxed{9^{9^{9^9}}}", "7"),
        (r"\boxed{1+1/3^{20000}}", r"\sqrt{2}"),  # a large number on the way widens nothing
        ("9" * 5000, "7"),
        (r"\boxed{9^{9^{9^9}}-9^{9^{9^9}}+7}", "7"),
        (r"\boxed{\binom{1000000}{500000}}", "7"),
        (r"\boxed{(9!)!}", "7"),
        (r"\boxed{(B)}", "A"),
        (r"\boxed{x+y\le 3}", r"x+y\ge 3"),
        (r"\boxed{x\ge5}", r"(5,\infty)"),
        (r"\boxed{\frac{\pi}{4}}", "0.785398"),
        (r"\boxed{\begin{pmatrix}1&2\end{pmatrix}}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        (r"\boxed{3+4i}", "3-4i"),
        (r"\boxed{12\text{ cm}^2}", r"12\text{ cm}"),
        ("The answer is not 5.", "5"),
        ("The answer is 5, not 6.", "6"),
        ("The answer is either 3 or 4.", "3"),
        ("The answer is 3 or 4.", "4"),
        ("The answer is between 3 and 4.", "4"),
        ("The answer is 3 hours and 20 minutes.", "3"),
        ("The answer is 0.5%.", "0.5"),
        ("the answer is 14 .", "4"),
        ("the answer is 7 . no . the answer is 9 .", "7"),
        (r"\boxed{x=2,y=3}", "x=3,y=2"),
        (r"\boxed{seat}", r"\text{east}"),
        (r"\boxed{(1,234)}", "1234"),
        (r"\boxed{1,2,3}", "123"),
        ("I cannot solve this.", "5"),
        ("", "5"),
        (r"\boxed{}", "0"),
        (r"\boxed{7} \boxed{8} \boxed{9}", "7"),
        ("The solutions are $x=3$ and $x=5$.", "5"),
        (r"$\boxed{5}$ km", r"5\text{ m}"),
    ],
)
def test_wrong(response: str, target: str) -> None:
    assert is_correct(response, target) is False


@pytest.mark.parametrize(
    ("answer", "target"),
    [
        ("12", " "),
        ("n(n+1)/2", r"\sum_{k=1}^n k"),  # the target is mathematics that nobody here reads
        ("7", "9^{9^{9^{9}}}"),
        ("7", "(" * 30 + "1" + ")" * 30),
    ],
)
def test_a_target_that_cannot_be_read_leaves_the_answer_unscored(answer: str, target: str) -> None:
    assert equals(answer, target) is None


@pytest.mark.parametrize(
    "response",
    ["It is 42.", "42", "The answer is 42.", r"\boxed{42}", "I get **42** apples.", "43", ""],
)
def test_reward_and_judge_read_one_text(response: str) -> None:
    record = PromptRecord(id="p", domain="math", prompt="?", target="42", source="s", split="train")
    [verdict] = MathJudge().judge([_completion("math", response, target="42")])
    label = {1.0: "correct", 0.0: "incorrect"}[math_reward(record, response) or 0.0]
    assert verdict.label == label


def _formula(depth: int) -> st.SearchStrategy[tuple[str, Fraction]]:
    """A formula in LaTeX and its value by Python's own fractions."""
    whole = st.integers(1, 30).map(lambda n: (str(n), Fraction(n)))
    if depth == 0:
        return whole
    pair = st.tuples(_formula(depth - 1), _formula(depth - 1))
    return st.one_of(
        whole,
        pair.map(lambda p: (rf"\frac{{{p[0][0]}}}{{{p[1][0]}}}", p[0][1] / p[1][1])),
        pair.map(lambda p: (f"({p[0][0]}+{p[1][0]})", p[0][1] + p[1][1])),
        pair.map(lambda p: (rf"({p[0][0]})\cdot({p[1][0]})", p[0][1] * p[1][1])),
        _formula(depth - 1).map(lambda f: (f"({f[0]})^{{2}}", f[1] ** 2)),
    )


@given(_formula(3), st.fractions(min_value=-1, max_value=1, max_denominator=50))
def test_a_formula_equals_its_value_and_no_other(pair: tuple[str, Fraction], off: Fraction) -> None:
    text, value = pair
    assert equals(text, f"{value.numerator}/{value.denominator}") is True
    other = value + off
    assert equals(text, f"{other.numerator}/{other.denominator}") is (off == 0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\sqrt{2}+\sqrt[3]{5}", "3.1241895089500920"),
        (r"\frac{\pi}{4}-\ln 2", "0.0922509828375029"),
        (r"e^{-1}\cos(1)", "0.1987661103464129"),
        (r"\log_{3} 7 \cdot \arctan 2", "1.9610302457848661"),
        (
            r"\left|1-\sqrt{5}\right|".replace(r"\left", "").replace(r"\right", ""),
            "1.2360679774997897",
        ),
    ],
)
def test_values(text: str, value: str) -> None:
    tree = formulas.read(text)
    assert tree is not None
    assert abs(values.Evaluation({}).of(tree) - mpmath.mpf(value)) < 1e-9


@pytest.mark.parametrize(
    "text", [r"4\sqrt(2", "3 4", r"\frac{1}{", "2+", "x)", r"\foo{3}", "a/bc", r"\sqrt12", "east"]
)
def test_what_is_not_read_whole_is_not_read(text: str) -> None:
    assert formulas.read(text) is None


def test_the_library_reads_what_our_grammar_does_not_and_loses_nothing() -> None:
    assert library.same(r"\sum_{k=1}^{n} k", r"\sum_{k = 1}^n k")
    assert not library.same(r"\sum_{k=1}^{n} k", r"\sum_{k=1}^{n} 2k")
    assert not library.same("2(3)", "5")  # math-verify's own reading


HUGE = [
    "9^{9^{9^{9}}}",
    "((9!)!)!",
    r"\binom{1000000}{500000}",
    "+".join(["5000!"] * 60),
    "((((((x+1)^{9})^{9})^{9})^{9})^{9})^{9}",
    "(" * 300 + "1" + ")" * 300,
    r"\sqrt{" * 300 + "2" + "}" * 300,
    "1/" * 300 + "7",
    "a=" * 300 + "1",
    r"\pm " * 300 + "3",
    "(1," * 300,
    "9" * 20000,
    "$" * 2000,
    "answer is " * 500,
]


@pytest.mark.parametrize("text", HUGE, ids=range(len(HUGE)))
def test_what_is_too_large_is_refused_by_its_size(text: str) -> None:
    began = time.process_time()
    for form in (r"\boxed{%s}", "The answer is %s.", "It is %s"):
        assert is_correct(form % text, "7") is False
    assert time.process_time() - began < 20  # no clock decides; without the bounds, days
