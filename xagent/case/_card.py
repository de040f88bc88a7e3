"""The system card: what no tool can measure and a regulator asks for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xagent.case._fields import Frozen, Moment, Scalar, ShortText


class Party(Frozen):
    """A person or organisation that answers for the system."""

    name: ShortText
    contact: ShortText | None = None


class Metric(Frozen):
    """One measured quality of the model, overall or for a segment."""

    metric: ShortText
    value: float
    segment: ShortText | None = None
    n: int | None = Field(default=None, ge=0)
    period: ShortText | None = None


class Oversight(Frozen):
    """Who can overrule the system, and how (AI Act Art. 14, 26(2))."""

    person: ShortText | None = None
    competence: ShortText | None = None
    authority: ShortText | None = None
    shown: ShortText | None = None


class Contest(Frozen):
    """How the person can ask for a review (GDPR Art. 22(3))."""

    channel: ShortText | None = None
    deadline: ShortText | None = None
    new_data: ShortText | None = None


class Retention(Frozen):
    """How long the records are kept, and where (AI Act Art. 19, 26(6))."""

    period: ShortText | None = None
    location: ShortText | None = None


class Validation(Frozen):
    """State of the model's validation."""

    status: ShortText | None = None
    date: Moment | None = None
    open_findings: tuple[ShortText, ...] = ()
    conditions: ShortText | None = None


class OutcomeCard(Frozen):
    """What one class or decision means to people."""

    label: ShortText
    """Words used in the report instead of the class name."""
    meaning: ShortText | None = None
    favourable: bool | None = None
    next_step: ShortText | None = None
    """What the business user does now, as an imperative sentence without figures."""


class FeatureCard(Frozen):
    """One input in the words of the business.

    kind `numeric | integer | boolean | categorical | ordinal | date`. mutable says whether the person could change it
    and `direction` which way. `proxy_for` names the protected attribute that this input stands in for.
    `decimals` is the printed precision. `higher`/`lower` are the words for a value above or below the typical one.
    """

    label: ShortText
    unit: ShortText | None = None
    kind: Literal["numeric", "integer", "boolean", "categorical", "ordinal", "date"] = "numeric"
    levels: dict[str, ShortText] = Field(default_factory=dict, max_length=10_000)
    """Words for each raw level of a categorical, ordinal or boolean input."""
    description: ShortText | None = None
    source: ShortText | None = None
    mutable: bool | None = None
    direction: Literal["increase", "decrease", "either"] | None = None
    sensitive: bool = False
    proxy_for: ShortText | None = None
    higher: ShortText = "higher"
    lower: ShortText = "lower"
    reason_code: ShortText | None = None
    decimals: int | None = Field(default=None, ge=0, le=12)
    minimum: float | None = None
    maximum: float | None = None
    stale_after_seconds: float | None = Field(default=None, gt=0)
    default: Scalar = None
    """The value that preprocessing fills in when the real one is missing."""


class SystemCard(Frozen):
    """Who is responsible for what (`schema` is `xagent.system/1`). Everything but the name may be unknown: a missing
    field prints as "not provided" with the article that asks for it, and is counted."""

    schema_: Literal["xagent.system/1"] = Field(alias="schema")
    name: ShortText
    version: ShortText | None = None
    purpose: ShortText | None = None
    in_scope: ShortText | None = None
    classification: ShortText | None = None
    registration: ShortText | None = None
    provider: Party | None = None
    deployer: Party | None = None
    owner: Party | None = None
    complaints: ShortText | None = None
    regimes: tuple[ShortText, ...] = ()
    automation: Literal["automatic", "recommendation", "assistance"] | None = None
    legal_basis: ShortText | None = None
    chain: ShortText | None = None
    """Rules and people before and after the model."""
    effects: ShortText | None = None
    """What the outcome means for the person."""
    procedure: ShortText | None = None
    """The procedure and principles actually applied, in plain words (CJEU C-203/22, para. 58)."""
    policy_version: ShortText | None = None
    excluded: tuple[ShortText, ...] = ()
    """Personal attributes that are deliberately not used."""
    exclusion_reason: ShortText | None = None
    training: ShortText | None = None
    """Model type and training window."""
    materiality: ShortText | None = None
    inventory_id: ShortText | None = None
    performance: tuple[Metric, ...] = ()
    metric_reason: ShortText | None = None
    validation: Validation | None = None
    calibration: ShortText | None = None
    limits: tuple[ShortText, ...] = ()
    changes: tuple[ShortText, ...] = ()
    oversight: Oversight | None = None
    contest: Contest | None = None
    notice: ShortText | None = None
    """When and how the person was told that AI is used."""
    fairness: ShortText | None = None
    incidents: ShortText | None = None
    retention: Retention | None = None
    standards: ShortText | None = None
    withheld: tuple[ShortText, ...] = ()
    preparer: ShortText | None = None
    approver: ShortText | None = None
    outcomes: dict[str, OutcomeCard] = Field(default_factory=dict)
    """By class name (or decision)."""
    features: dict[str, FeatureCard] = Field(default_factory=dict)

    def feature(self, name: str) -> FeatureCard:
        """The card of a feature; one that nobody described gets its own name as label."""
        return self.features.get(name) or FeatureCard(label=name)

    def outcome(self, name: str) -> OutcomeCard:
        return self.outcomes.get(name) or OutcomeCard(label=name)
