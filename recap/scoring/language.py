"""Whether a text is in English, by its small words: rules for English must not read another text.

Small words of a dozen other languages speak against it, small words of English for it, and so do
letters of other scripts. Leaves out which language it is; a text of a few words without any small
word counts as English.
"""

from __future__ import annotations

import re
import unicodedata

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ENGLISH = _words(
    """
    a about after all an and any are as at be because been but by can can't cannot could do does
    don't for from have here how i i'd i'll i'm if in into is isn't it it's its just like make
    me more my not of on one or other our out should so some sorry that that's the their them
    then there these they this to up use was we what when which who will with won't would you
    your
    """
)
FOREIGN = _words(
    """
    el los las que con para por como esto eso pero puedo puede ayudar ayudarte ayudarle lo
    siento una unos y voy es más otra otras hace cómo del muy sobre mezcla luego primero después
    está ni solicitud información le les des une est pas je ne peux puis vous nous avec pour
    dans mais désolé désolée cette ce ces sur qui ensuite aider cela au aux suis votre der das
    und ich nicht kann ist mit ein eine einen dir ihnen dabei leider für zu den dem auf helfen
    tut mir leid aber bei diese dieser dieses nein il gli che non posso sono questo questa mi
    dispiace aiutarti aiutare per della poi o os não ajudar com isso isto desculpe desculpa uma
    um mas você da em het een ik niet kan ben maar niets dat hiermee helpen voor spijt van jag
    inte hjälpa dig med det och för att tyvärr jeg ikke hjælpe deg dette beklager nie mogę
    przykro pomóc tym się jest na przepraszam toż maaf saya tidak bisa membantu dengan itu yang
    dan untuk
    üzgünüm bu konuda yard\u0131mc\u0131 olamam bir ve için değil samahani siwezi
    kukusaidia ya hili pasensya hindi ako makakatulong sa ang
    omlouvám nemohu pomoci îmi pare rău nu pot ajuta
    sajnálom nem tudok segíteni ebben anteeksi en voi auttaa tässä xin lỗi tôi không thể giúp
    """
)
"""Small words, and the words of a refusal, of other languages."""
SHARED = FOREIGN & ENGLISH | {
    "a", "no", "me", "on", "as", "an", "in", "so", "has", "it's",
    "per", "y", "pot", "um", "mas", "dir", "ben", "dan",  # "per hour", a variable, a pot, names
}  # fmt: skip
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
