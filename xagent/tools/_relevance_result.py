"""What the relevance tool finds: the typed result that reports draw from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from xagent.case._case import Scalar
from xagent.tools._base import Result


class PlayerRelevance(Result):
    """One input: its signed relevance towards the target, its share of the sum of magnitudes (0 when all are zero)
    and its rank by magnitude, 1 first. typical: median or most frequent value of the reference population."""

    feature: str
    label: str
    relevance: float
    share: float
    rank: int
    typical: Scalar = None


class LayerRelevance(Result):
    """Signed relevance that a layer's output holds; under conserving rules little is lost from one to the next."""

    name: str
    sum: float


class HeadRelevance(Result):
    """Signed relevance in the output of one attention head, over all positions. layer: the module that attends, by its
    name in the model, in the order of the forward; head: from 0."""

    layer: str
    head: int
    relevance: float


class PairRelevance(Result):
    """What two features add only together, beyond what each adds alone; it is split evenly between them."""

    features: tuple[str, str]
    labels: tuple[str, str]
    relevance: float


class ReferenceRows(Result):
    """How many rows of the reference population were averaged over, of how many, and the seed that chose them."""

    used: int
    available: int
    seed: int


class ImageMap(Result):
    """pixels: grey values in [0, 1], rows from the top; map: signed relevance of each pixel."""

    height: int
    width: int
    pixels: list[list[float]]
    map: list[list[float]]


class TokenRelevance(Result):
    """One word of the text as it stands there, and its relevance."""

    text: str
    relevance: float


class SentenceRelevance(Result):
    """One sentence of the text as it stands there, and the relevance of its words together."""

    text: str
    relevance: float


class AnswerToken(Result):
    """One token of the answer as it stands there, and its explained score."""

    text: str
    score: float


class SourceRelevance(Result):
    """A passage of the prompt. kind: document, tool, turn, instruction, sentence, token or passage.

    share: of the sum of magnitudes over all sources; sink, other and own are in no source and in no share."""

    feature: str
    label: str
    kind: str
    text: str
    relevance: float
    share: float


class PromptToken(Result):
    """One token of the prompt as it stands there, its relevance for the whole answer, and the source it belongs to."""

    text: str
    relevance: float
    source: str | None


class AnswerRelevance(Result):
    """Which parts of the prompt an answer came from.

    tokens: of the answer, T. sources: in the order of the prompt, C. matrix: T lines of C, signed; line t says what
    moved the score of token t. prompt: every token of the prompt. sink: relevance of the first token, where attention
    leaves what it does not need; other: of tokens of the prompt in no source; own: of earlier tokens of the answer.
    way: how the matrix was made; with `span` it has one line, the sum over the answer.
    """

    tokens: tuple[AnswerToken, ...]
    sources: tuple[SourceRelevance, ...]
    matrix: tuple[tuple[float, ...], ...]
    prompt: tuple[PromptToken, ...]
    sink: float
    other: float
    own: float
    way: Literal["rows", "columns", "span"]


class Refinement(Result):
    """What became of a list that reached less than `limit` of what a list could say (F/C).

    state: `refined`; `off the data`, when too many probes leave the reference, where removal is fooled; `no better`.
    by: exact Shapley values, or removal and addition of the strongest inputs. before, after: F/C of the two lists.
    off_manifold: share of the probes outside the reference, None when unknown. rows: of the model, beside those that
    the trust checks take anyway. traced: the list before, in the order of the encoder.
    """

    state: Literal["refined", "off the data", "no better"]
    by: Literal["exact", "removal"] | None = None
    limit: float
    before: float
    after: float | None = None
    off_manifold: float | None = None
    rows: int
    traced: tuple[float, ...] = ()


class RelevanceResult(Result):
    """players stand by rank. score: explained score, the target's output minus the foil's. ledger: where the score went
    (sums to it, up to residual); unassigned: relevance of positions that belong to no player, such as special tokens.
    gap: |residual| / |score|. audit: operations without a rule. complete: the method claims that the list sums to
    f(x) - f(background). by_removal: the list was made by leaving out one input at a time. pairs: of an additive model,
    by falling magnitude. rows: of the reference, where scores are averaged over them. refined: what was done about a
    list that fell short; ledger, layers, heads and the map are those of the trace. precision: the dtype in which a
    model in 16 bits was traced; rounding: the score explained minus the model's own, where the two differ.
    """

    method: str
    status: Literal["exact", "audited"]
    target: str | None
    target_index: int
    foil: str | None
    foil_index: int | None
    score: float
    baseline: str
    ledger: dict[str, float]
    unassigned: float
    gap: float
    audit: dict[str, int]
    complete: bool
    by_removal: bool
    players: tuple[PlayerRelevance, ...]
    layers: tuple[LayerRelevance, ...] = ()
    heads: tuple[HeadRelevance, ...] = ()
    image: ImageMap | None = None
    tokens: tuple[TokenRelevance, ...] | None = None
    sentences: tuple[SentenceRelevance, ...] | None = None
    answer: AnswerRelevance | None = None
    pairs: tuple[PairRelevance, ...] = ()
    rows: ReferenceRows | None = None
    refined: Refinement | None = None
    precision: str | None = None
    rounding: float | None = None


def is_refined(data: Mapping[str, Any]) -> bool:
    """Whether the list of a relevance artifact is another one than was traced."""
    return (data.get("refined") or {}).get("state") == "refined"
