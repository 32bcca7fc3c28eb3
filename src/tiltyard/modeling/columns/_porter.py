"""Porter's stemmer for English: takes off suffixes in five steps.

M. F. Porter, An algorithm for suffix stripping, 1980. The measure of a stem is the number of its vowel groups that a
consonant follows: 0 in `tree`, 1 in `trouble` and `oats`, 2 in `troubles`. Words of one or two letters are left as they
are, as in Porter's own program.
"""

from __future__ import annotations

import re
from functools import lru_cache

DOUBLE = re.compile(r"([^aeiou])\1$")
REMEMBERED = 1 << 16  # stems; most words of a text are frequent ones

ENDINGS_2 = {
    "ational": "ate",
    "tional": "tion",
    "enci": "ence",
    "anci": "ance",
    "izer": "ize",
    "abli": "able",
    "alli": "al",
    "entli": "ent",
    "eli": "e",
    "ousli": "ous",
    "ization": "ize",
    "ation": "ate",
    "ator": "ate",
    "alism": "al",
    "iveness": "ive",
    "fulness": "ful",
    "ousness": "ous",
    "aliti": "al",
    "iviti": "ive",
    "biliti": "ble",
}
ENDINGS_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
ENDINGS_4 = (
    *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate"),
    *("iti", "ous", "ive", "ize"),
)


@lru_cache(REMEMBERED)
def stem(word: str) -> str:
    """Return the stem of a word in lower case; words with other characters than a to z are left as they are."""
    if len(word) <= 2 or not (word.isascii() and word.isalpha()):
        return word
    word = _past_and_participle(_plural(word))
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = f"{word[:-1]}i"
    word = _replaced(_replaced(word, ENDINGS_2), ENDINGS_3)
    return _tidied(_stripped(word))


def _kinds(word: str) -> str:
    """Return v for each vowel and c for each consonant; y is a vowel after a consonant."""
    kinds = ""
    for letter in word:
        is_vowel = letter in "aeiou" or (letter == "y" and kinds.endswith("c"))
        kinds += "v" if is_vowel else "c"
    return kinds


def _measure(word: str) -> int:
    return _kinds(word).count("vc")


def _has_vowel(word: str) -> bool:
    return "v" in _kinds(word)


def _ends_short(word: str) -> bool:
    """Return whether a word ends with consonant, vowel and consonant, of which the last is not w, x or y."""
    return _kinds(word).endswith("cvc") and word[-1] not in "wxy"


def _plural(word: str) -> str:
    """Step 1a: caresses, ponies, ties and cats become caress, poni, ti and cat."""
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past_and_participle(word: str) -> str:
    """Step 1b: agreed, plastered, motoring and hopping become agree, plaster, motor and hop."""
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        if word.endswith(ending):
            rest = word.removesuffix(ending)
            return _completed(rest) if _has_vowel(rest) else word
    return word


def _completed(word: str) -> str:
    """Return a word without -ed or -ing as it is written alone: conflat, hopp and fil become conflate, hop and file."""
    if word.endswith(("at", "bl", "iz")):
        return f"{word}e"
    if DOUBLE.search(word) and word[-1] not in "lsz":
        return word[:-1]
    return f"{word}e" if _measure(word) == 1 and _ends_short(word) else word


def _replaced(word: str, endings: dict[str, str]) -> str:
    """Steps 2 and 3: replace the longest of these endings if the measure of the rest is above 0."""
    ending = max((ending for ending in endings if word.endswith(ending)), key=len, default="")
    rest = word.removesuffix(ending)
    return rest + endings[ending] if ending and _measure(rest) > 0 else word


def _stripped(word: str) -> str:
    """Step 4: take off the longest of these endings if the measure of the rest is above 1."""
    ending = max((ending for ending in ENDINGS_4 if word.endswith(ending)), key=len, default="")
    rest = word.removesuffix(ending)
    if not ending or _measure(rest) <= 1 or (ending == "ion" and not rest.endswith(("s", "t"))):
        return word
    return rest


def _tidied(word: str) -> str:
    """Step 5: probate, cease and controll become probat, ceas and control; rate and roll stay."""
    if word.endswith("e"):
        rest = word[:-1]
        measure = _measure(rest)
        word = rest if measure > 1 or (measure == 1 and not _ends_short(rest)) else word
    return word[:-1] if word.endswith("ll") and _measure(word) > 1 else word
