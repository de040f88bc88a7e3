"""The kinds of problem that the verifier names, each with what it means. docs/verification.md prints this list."""

from __future__ import annotations

KINDS: dict[str, str] = {
    # one sentence: its form
    "frame": "The tokens listed are not those of the frame, or two sentences have one id.",
    "text": "The text is not its frame with every token printed.",
    "value": "What a token prints is not its claim under its policy: another number, sign, unit, date or word.",
    "precision": "A policy so coarse that something prints as nothing, or that two figures compared print alike.",
    "characters": "A character that sentences of this language are not written with: look-alike, mark, control.",
    # one sentence: what it cites
    "unknown-claim": "A token cites a claim that is not in the ledger.",
    "hidden": "A token cites a claim that this reader may not see.",
    "subject": "A token cites a fact about somebody else.",
    "role": "The words around a token say that it is something else, or nothing says what it is.",
    "feature": "A figure or word stands beside the name of another input.",
    "unbound": "A figure without its sign stands without the word that says it.",
    # one sentence: what its words state
    "assertion": "Words are asserted that the text does not say.",
    "direction": "For or against, and the effects do not point that way, or the outcome is not named.",
    "order": "A word of order that the ranks do not back, or drivers told out of their order.",
    "comparison": "Above, below or equal, and the comparison comes out otherwise.",
    "state": "A registered phrase whose claim says something else, or that no assertion binds to its claim.",
    "standing": "A phrase that is not registered as true of every report.",
    "causal": "A word of cause without a counterfactual that was scored again.",
    "baseline": "The population named is not the one that was compared with.",
    "units": "Units or scales are mixed in one comparison.",
    # one sentence: words that no token and no assertion carries
    "number": "A figure or a number word outside a token.",
    "ordinal": "A word of rank (second, last) outside a token.",
    "percentage": "A percentage outside a token.",
    "date": "A month, weekday or date outside a token.",
    "currency": "A currency outside a token.",
    "superlative": "A word of the highest or lowest degree outside an assertion.",
    "quantifier": "All, every or only, said of inputs.",
    "negation": "A negation outside a registered phrase.",
    "hedge": "A word of certainty or doubt that no claim measures.",
    "persuasive": "A word that colours.",
    "name": "The name of an input, category or person outside a token.",
    "avoid": "A term that this reader is not given.",
    "unknown-word": "A word outside the vocabulary.",
    # the whole narrative
    "persona": "Written for another reader or in another language.",
    "section": "Sections or charts that are not those of the persona, or not in its order.",
    "title": "A title that states something.",
    "vocabulary": "A persona's own word that is not neutral, or that means something else.",
    "warning": "A finding that is not told, not told first, told more mildly, or told without its evidence.",
    "required": "A fact that this reader must be told, or be told is missing.",
    "two-sides": "Evidence for or against is left out.",
    "limit": "More inputs are told than this reader gets.",
    "do-not-rely": "Reasons are given although the explanation failed its tests, or no person is handed the case.",
    "ledger": "The ledger contradicts itself.",
}  # fmt: skip
