"""What is kept of a reference population between questions: found again, made once, and never of another file."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest
from torch import nn

from xagent.case import OutputSpec, SystemCard, load_case
from xagent.subject import Subject, load_subject
from xagent.tools import Context
from xagent.tools._contrast import Reference, reference_of
from xagent.tools._kept import Facts, Shelf, forget, shelf_of

CREDIT = Path(__file__).parent.parent / "fixtures" / "credit"
CARD = SystemCard(schema="xagent.system/1", name="test")


def context(folder: Path) -> Context:
    case = load_case(folder / "case-declined.json")
    return Context(case=case, card=CARD, subject=load_subject(case))


def found(ctx: Context) -> Reference:
    reference = reference_of(ctx)
    assert reference is not None
    return reference


def test_a_population_is_read_once_and_again_when_its_file_has_changed(tmp_path: Path) -> None:
    forget()
    folder = tmp_path / "credit"
    shutil.copytree(CREDIT, folder)
    first, second = found(context(folder)), found(context(folder))
    assert first.rows is second.rows
    table = folder / "reference.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text("\n".join(text.splitlines()[:-1]) + "\n", encoding="utf-8")
    assert len(found(context(folder)).rows) == len(first.rows) - 1


def test_the_name_of_a_population_is_that_of_the_case_and_its_facts_are_shared() -> None:
    ctx = context(CREDIT)
    first = found(ctx)
    population = ctx.case.reference
    assert population is not None
    renamed = ctx.case.model_copy(update={"reference": population.model_copy(update={"name": "others"})})
    renamed._folder = ctx.case._folder
    other = found(Context(case=renamed, card=CARD, subject=ctx.subject))
    assert (other.name, other.facts) == ("others", first.facts)


def test_a_model_in_memory_shares_nothing_with_another() -> None:
    one, two = (Subject.from_module(nn.Linear(2, 1).eval(), ["a", "b"], OutputSpec(kind="value")) for _ in range(2))
    assert shelf_of(one)[0] is shelf_of(one)[0]
    assert shelf_of(one)[0] is not shelf_of(two)[0]


def test_threads_that_ask_together_make_a_value_once() -> None:
    shelf, facts, made = Shelf(), Facts(), []

    def make() -> str:
        made.append(1)
        time.sleep(0.05)
        return "value"

    asked = [threading.Thread(target=shelf.get, args=("key", make, lambda _: True)) for _ in range(4)]
    asked += [threading.Thread(target=facts.once, args=("key", make)) for _ in range(4)]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join()
    assert len(made) == 2


def test_what_fails_or_does_not_fit_is_not_kept() -> None:
    shelf = Shelf(most=1)
    with pytest.raises(ZeroDivisionError):
        shelf.get("a", lambda: 1 // 0, lambda _: True)
    assert shelf.get("a", lambda: 1, lambda _: False) == 1
    assert shelf.get("a", lambda: 2, lambda _: True) == 2
    assert shelf.get("a", lambda: 3, lambda _: True) == 2
    shelf.get("b", lambda: 4, lambda _: True)
    assert shelf.get("a", lambda: 5, lambda _: True) == 5
