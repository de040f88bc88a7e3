"""Cases are untrusted: what fits is loaded exactly, what does not is refused in one sentence that names the field."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xagent.case import Case, load_card, load_case, read_table, resolve_file, sha256_of
from xagent.errors import InvalidCase
from xagent.evidence import slug

GOOD: dict[str, Any] = {
    "schema": "xagent.case/1",
    "id": "loan-1",
    "subject": "applicant-7",
    "model": {
        "format": "torch-export",
        "path": "model.pt2",
        "name": "loans",
        "version": "1",
        "encoder": "encoder.json",
        "output": {"kind": "logit", "classes": ["repaid", "default"]},
    },
    "input": {"kind": "tabular", "values": {"income": 3100.5, "purpose": "car", "late": None, "owner": True}},
    "prediction": {"label": "default", "score": 0.7, "threshold": 0.5, "decided_at": "2026-09-01T10:00:00Z"},
}


def _changed(path: str, value: Any) -> dict[str, Any]:
    """A copy of the good case with one value replaced (or removed, for Ellipsis)."""
    data = json.loads(json.dumps(GOOD))
    *parents, last = path.split(".")
    place = data
    for part in parents:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


def _write(folder: Path, data: Any) -> Path:
    path = folder / "case.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def test_a_good_case_survives_a_round_trip(tmp_path: Path) -> None:
    case = load_case(_write(tmp_path, GOOD))
    again = Case.model_validate(case.public())
    assert again.public() == case.public()
    assert case.folder == tmp_path.resolve()
    assert list(case.input.values) == ["income", "purpose", "late", "owner"]  # type: ignore[union-attr]
    assert case.input.values["owner"] is True  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("colour", "red", "colour"),
        ("model.colour", "red", "model.colour"),
        ("id", "../evil", "id"),
        ("id", ..., "id"),
        ("schema", "xagent.case/2", "schema"),
        ("prediction.score", "high", "prediction.score"),
        ("prediction.score", 1.2, "prediction.score"),
        ("prediction.threshold", -0.1, "prediction.threshold"),
        ("prediction.label", "late", "prediction.label"),
        ("prediction.label", None, "prediction.label"),
        ("prediction.decided_at", "yesterday", "prediction.decided_at"),
        ("prediction.decided_at", "2026-09-01T10:00:00", "prediction.decided_at"),
        ("model.output.classes", ["one"], "two classes"),
        ("model.output.classes", ["one", "one"], "differ"),
        ("input.values", {}, "input.values"),
        ("input.kind", "sound", "input"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, path: str, value: Any, named: str) -> None:
    with pytest.raises(InvalidCase) as caught:
        load_case(_write(tmp_path, _changed(path, value)))
    assert named in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"schema": "xagent.case/1", ', "line 1"),
        ('{"score": NaN}', "NaN"),
        ('{"score": Infinity}', "Infinity"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ("[]", "the top level"),
        ("[" * 100_000, "nested too deeply"),
        ("", "line 1"),
    ],
)
def test_broken_json_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InvalidCase, match=r"case\.json"):
        load_case(_write(tmp_path, text))
    with pytest.raises(InvalidCase) as caught:
        load_case("-", stdin=text)
    assert named in caught.value.message


def test_files_stay_in_the_folder_of_the_case(tmp_path: Path) -> None:
    inside, outside = tmp_path / "case", tmp_path / "secret.json"
    inside.mkdir()
    outside.write_text("{}")
    (inside / "link.json").symlink_to(outside)
    case = load_case(_write(inside, GOOD))
    for path in ("../secret.json", str(outside), "link.json"):
        with pytest.raises(InvalidCase, match="leaves the folder"):
            resolve_file(case, path, "system_card")
    with pytest.raises(InvalidCase, match="there is no file"):
        resolve_file(case, "nowhere.json", "system_card")
    with pytest.raises(InvalidCase, match=r"not a usable path|there is no file"):
        resolve_file(case, "a\0b", "system_card")
    trusted = load_case(inside / "case.json", allow_outside=True)
    assert resolve_file(trusted, "../secret.json", "system_card") == outside


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCase, match=r"no file .*nothing\.json"):
        load_case(tmp_path / "nothing.json")
    with pytest.raises(InvalidCase, match="is a folder"):
        load_case(tmp_path)
    latin = tmp_path / "latin.json"
    latin.write_bytes(b'{"id": "caf\xe9"}')
    with pytest.raises(InvalidCase, match="UTF-8"):
        load_case(latin)


def test_a_case_without_a_card_still_names_the_system(tmp_path: Path) -> None:
    assert load_card(load_case(_write(tmp_path, GOOD))).name == "loans"


def test_tables_are_refused_by_name(tmp_path: Path) -> None:
    for name, content in {"a.csv": "", "b.txt": "x\n1\n", "c.parquet": "no parquet"}.items():
        path = tmp_path / name
        path.write_text(content)
        with pytest.raises(InvalidCase, match=f"reference: .*({name}|Parquet)"):
            read_table(path, "reference")


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_slugs_are_plain_and_do_not_collide(one: str, other: str) -> None:
    for name in (one, other):
        assert set(slug(name)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
        assert 1 <= len(slug(name)) <= 56
    assert (slug(one) == slug(other)) == (one == other)


def test_slugs_of_common_names_are_readable() -> None:
    assert [slug(n) for n in ("mean radius", "debt_to_income", "word.3", "a-b")] == [
        "mean-radius",
        "debt_to_income",
        "word.3",
        "a-b-" + slug("a-b")[-6:],
    ]


def test_a_changed_file_has_another_hash_even_where_size_and_time_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "reference.csv"
    found = []
    for content in (b"a,1\n", b"a,2\n", b"a,3\n"):
        path.write_bytes(content)
        os.utime(path, (10**9, 10**9))
        found.append(sha256_of(path))
        assert sha256_of(path) == found[-1] == hashlib.sha256(content).hexdigest()
    assert len(set(found)) == 3
