"""Whether a text is in English, by its small words: rules for English must not read another text.

Small words of a dozen other languages speak against it, small words of English for it, and so do
letters of other scripts. Leaves out which language it is; a text of a few words without any small
word counts as English.
"""

from __future__ import annotations

import re
import unicodedata

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
ENGLISH = frozenset(
    """a about after all an and any are as at be because been but by can can't cannot could do does
    don't for from have here how i i'd i'll i'm if in into is isn't it it's its just like make
    me more my not of on one or other our out should so some sorry that that's the their them then
    there these they this to up use was we what when which who will with won't would you your
    """.split()
)
FOREIGN = frozenset(
    """el los las que con para por como esto eso pero puedo puede ayudar ayudarte ayudarle lo siento
    una unos y voy es m\u00e1s otra otras hace c\u00f3mo una del muy sobre mezcla luego primero despu\u00e9s est\u00e1 ni solicitud informaci\u00f3n
    le les des une est pas je ne peux puis vous nous avec pour dans mais d\u00e9sol\u00e9 d\u00e9sol\u00e9e cette
    ce ces sur qui ensuite aider cela au aux suis votre
    der das und ich nicht kann ist mit ein eine einen dir ihnen dabei leider f\u00fcr zu den dem auf
    helfen tut mir leid aber es bei diese dieser dieses nein
    il gli che non posso sono con questo questa mi dispiace aiutarti aiutare per della poi
    o os n\u00e3o posso ajudar com isso isto desculpe desculpa para uma um mas voc\u00ea da em
    het een ik niet kan ben maar niets dat hiermee helpen voor spijt van
    jag inte kan hj\u00e4lpa dig med det och f\u00f6r att tyv\u00e4rr jeg ikke hj\u00e6lpe deg dette beklager
    nie mog\u0119 przykro pom\u00f3c tym si\u0119 jest na przepraszam to\u017c
    maaf saya tidak bisa membantu dengan itu yang dan untuk
    \u00fczg\u00fcn\u00fcm bu konuda yard\u0131mc\u0131 olamam bir ve i\u00e7in de\u011fil
    samahani siwezi kukusaidia na ya hili pasensya hindi ako makakatulong sa ang
    omlouv\u00e1m nemohu pomoci \u00eemi pare r\u0103u nu pot ajuta sajn\u00e1lom nem tudok seg\u00edteni ebben anteeksi
    en voi auttaa t\u00e4ss\u00e4 xin l\u1ed7i t\u00f4i kh\u00f4ng th\u1ec3 gi\u00fap""".split()
)
"""Small words, and the words of a refusal, of other languages."""
SHARED = FOREIGN & ENGLISH | {"a", "no", "me", "on", "as", "an", "in", "so", "has", "it's"}
"""Words that are evidence of nothing."""
ENOUGH_WORDS = 6
"""A text of fewer words need not hold any small word."""
OTHER_SCRIPT = 0.2
"""Share of letters that are not Latin from which on a text is not English."""


def in_english(text: str) -> bool:
    """Whether rules for English may read the text (lower case); a text without words is read."""
    letters = [char for char in text if char.isalpha()]
    if sum(not _latin(char) for char in letters) > OTHER_SCRIPT * len(letters):
        return False
    words = WORD.findall(text)
    foreign = sum(word in FOREIGN - SHARED for word in words)
    english = sum(word in ENGLISH - SHARED for word in words)
    if foreign > english and foreign >= 2:
        return False
    accented = any(ord(char) > 127 for char in letters)
    return english > 0 or len(words) < ENOUGH_WORDS or not accented


def _latin(char: str) -> bool:
    return ord(char) < 128 or unicodedata.name(char, "").startswith("LATIN")
