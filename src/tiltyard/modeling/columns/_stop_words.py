"""Stop words of English: articles, pronouns, prepositions, conjunctions, auxiliary verbs, which say little of a topic.

Words of negation (no, not, nor, never, and the t of don't) are none: they turn the meaning of others around.
"""

from __future__ import annotations

WORDS = """
a an the this that these those
i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers
herself it its itself they them their theirs themselves who whom whose which what
about above across after against along among around at before behind below beneath beside between beyond by down
during for from in inside into near of off on onto out outside over past since through throughout till to toward
towards under until up upon with within
and as because both but either if or so than though although unless when whenever where wherever whether while why
how however
am are be been being is was were do does did doing done have has had having can could may might must shall should
will would ought
s d m ll ve re
all also any each few here just more most much other others own same some such then there thus too very again once
only even ever yet
"""
ENGLISH = frozenset(WORDS.split())
