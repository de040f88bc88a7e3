"""Encoders: raw values to tensors and back, by a file and no code; every misfit names its feature and mend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xagent.errors import InvalidCase
from xagent.subject import ImageEncoder, TabularEncoder, load_encoder

FEATURES: list[dict[str, Any]] = [
    {"name": "income", "kind": "numeric", "mean": 100, "scale": 50, "clip": [-2, 2], "missing": {"fill": 150}},
    {"name": "age", "kind": "numeric"},
    {"name": "purpose", "kind": "onehot", "levels": ["car", "home"], "unknown": "zeros", "missing": {"level": "car"}},
    {"name": "owner", "kind": "onehot", "levels": [False, True]},
    {"name": "grade", "kind": "ordinal", "levels": ["low", "mid", "high"], "mean": 1, "scale": 0.5},
]
ROW = {"income": 125, "age": 30, "purpose": "home", "owner": True, "grade": "high"}


def tabular(features: list[dict[str, Any]] | None = None) -> TabularEncoder:
    return TabularEncoder.model_validate(
        {"schema": "xagent.encoder/1", "kind": "tabular", "features": features or FEATURES}
    )


def image(**changes: Any) -> ImageEncoder:
    base = {
        "schema": "xagent.encoder/1",
        "kind": "image",
        "height": 3,
        "width": 4,
        "scale": 10,
        "mean": 0.5,
        "std": 0.5,
    }
    return ImageEncoder.model_validate(base | changes)


def test_row_by_hand() -> None:
    row, missing = tabular().encode(ROW)
    assert row.tolist() == [[0.5, 30.0, 0.0, 1.0, 0.0, 1.0, 2.0]]
    assert missing == []


def test_missing_values_are_filled_and_named() -> None:
    row, missing = tabular().encode(ROW | {"income": None, "purpose": None})
    assert row[0, :4].tolist() == [1.0, 30.0, 1.0, 0.0]
    assert missing == ["income", "purpose"]


def test_clip_and_unknown_level() -> None:
    row, _ = tabular().encode(ROW | {"income": 10**6, "purpose": "boat"})
    assert row[0, :4].tolist() == [2.0, 30.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"age": None}, r"input\.values\.age: the value is missing"),
        ({"age": "thirty"}, r"input\.values\.age: 'thirty' is not a number"),
        ({"age": float("nan")}, r"input\.values\.age: nan is not a finite"),
        ({"age": float("inf")}, r"input\.values\.age: inf is not a finite"),
        ({"age": 10**400}, r"input\.values\.age: 1000"),
        ({"grade": "top"}, r"input\.values\.grade: 'top' is not a level.*'low', 'mid', 'high'"),
        ({"grade": None}, r"input\.values\.grade: the value is missing"),
        ({"owner": 7}, r"input\.values\.owner: '7' is not a level"),
        ({"height": 1}, r"input\.values\.height: the model has no feature 'height'"),
    ],
)
def test_a_bad_value_names_its_feature(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidCase, match=said) as caught:
        tabular().encode(ROW | change)
    assert caught.value.hint


def test_an_absent_feature_is_named() -> None:
    with pytest.raises(InvalidCase, match="'grade' is missing"):
        tabular().encode({name: value for name, value in ROW.items() if name != "grade"})


def rows() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({
        "income": st.none() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6),
        "age": st.integers(0, 120),
        "purpose": st.none() | st.sampled_from(["car", "home", "boat"]),
        "owner": st.booleans(),
        "grade": st.sampled_from(["low", "mid", "high"]),
    })  # fmt: skip


@given(st.lists(rows(), min_size=1, max_size=8), st.sampled_from(["str", "object", "category"]))
def test_a_table_is_its_rows(table: list[dict[str, Any]], dtype: str) -> None:
    encoder = tabular()
    frame = pd.DataFrame(table).astype({"grade": dtype, "purpose": dtype}).assign(label="ignored")
    expected = np.concatenate([encoder.encode(row)[0] for row in table])
    np.testing.assert_allclose(encoder.encode_table(frame), expected, rtol=1e-12)


@given(rows())
def test_decoding_inverts_encoding(row: dict[str, Any]) -> None:
    encoder = tabular()
    decoded = encoder.decode(encoder.encode(row)[0][0])
    assert decoded["age"] == row["age"]
    assert (decoded["owner"], decoded["grade"]) == (row["owner"], row["grade"])
    assert decoded["purpose"] == {None: "car", "boat": None}.get(row["purpose"], row["purpose"])
    if row["income"] is not None and 0 <= row["income"] <= 200:
        assert decoded["income"] == pytest.approx(row["income"], abs=1e-9)


def test_a_csv_reads_like_the_case(tmp_path: Path) -> None:
    """Booleans, whole numbers beside gaps and text columns keep their meaning through a CSV file."""
    path = tmp_path / "rows.csv"
    path.write_text("income,age,purpose,owner,grade\n125,30,home,True,high\n,31,,False,low\n")
    encoded = tabular().encode_table(pd.read_csv(path))
    assert encoded.tolist() == [[0.5, 30, 0, 1, 0, 1, 2], [1, 31, 1, 0, 1, 0, -2]]


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("age", ["30", "old"], r"window\.age: 'old' is not a number in row 2"),
        ("age", [30, None], r"window\.age: the value is missing in row 2"),
        ("age", [np.inf, 1], r"window\.age: inf .* in row 1"),
        ("grade", ["low", "top"], r"window\.grade: 'top' is not a level of this feature in row 2"),
    ],
)
def test_a_bad_cell_names_column_and_row(column: str, values: list[Any], said: str) -> None:
    frame = pd.DataFrame([ROW, ROW]).assign(**{column: values})
    with pytest.raises(InvalidCase, match=said):
        tabular().encode_table(frame, "window")


def test_a_table_must_have_rows_and_columns() -> None:
    with pytest.raises(InvalidCase, match="no column 'age'"):
        tabular().encode_table(pd.DataFrame([ROW]).drop(columns="age"))
    with pytest.raises(InvalidCase, match="no rows"):
        tabular().encode_table(pd.DataFrame([ROW]).iloc[:0])


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ([{"name": "a", "kind": "numeric", "scale": 0}], "scale"),
        ([{"name": "a", "kind": "numeric", "code": "1"}], "unknown key"),
        ([{"name": "a", "kind": "numeric", "clip": [1, -1]}], "low, high"),
        ([{"name": "a", "kind": "onehot", "levels": ["x", "x"]}], "levels must differ"),
        ([{"name": "a", "kind": "ordinal", "levels": ["x"], "missing": {"level": "y"}}], "not one of the levels"),
        ([{"name": "a", "kind": "numeric"}, {"name": "a", "kind": "numeric"}], "names must differ"),
        ([{"name": "a", "kind": "lambda"}], "kind"),
    ],
)
def test_a_bad_encoder_file_names_the_key(features: list[dict[str, Any]], said: str, tmp_path: Path) -> None:
    path = tmp_path / "encoder.json"
    path.write_text(json.dumps({"schema": "xagent.encoder/1", "kind": "tabular", "features": features}))
    with pytest.raises(InvalidCase, match=rf"model\.encoder: encoder\.json.*{said}"):
        load_encoder(path)


def test_image_cells_cover_every_pixel_once() -> None:
    encoder = image(cell=2)
    players = encoder.players()
    assert sorted(pixel for player in players for pixel in player.index) == list(range(12))
    assert players[1].feature == "cell.1.2"
    assert players[1].label == "row 1, column 2"
    assert players[1].index == (2, 3, 6, 7)


def test_image_by_hand_and_from_png(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    encoded = image().encode_pixels(pixels.tolist())
    assert encoded.shape == (1, 1, 3, 4)
    assert encoded[0, 0, 1, 1] == pytest.approx((5 / 10 - 0.5) / 0.5)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    assert np.array_equal(image().encode_png(tmp_path / "x.png"), encoded)
    colour = np.stack([pixels, pixels + 1, pixels + 2], axis=2)
    Image.fromarray(colour).save(tmp_path / "c.png")
    assert np.array_equal(
        image(channels=3).encode_png(tmp_path / "c.png"), image(channels=3).encode_pixels(colour.tolist())
    )
    np.savez(tmp_path / "x.npz", pixels=np.stack([pixels, pixels]))
    assert np.array_equal(image().encode_npz(tmp_path / "x.npz")[1:], encoded)


@pytest.mark.parametrize("pixels", [[[1.0, 2.0]], [[1.0], [1.0, 2.0]], [[[0.0] * 2] * 4] * 3, [[float("nan")] * 4] * 3])
def test_wrong_pixels(pixels: Any) -> None:
    with pytest.raises(InvalidCase, match=r"input\.pixels"):
        image().encode_pixels(pixels)


def test_wrong_image_files(tmp_path: Path) -> None:
    Image.new("L", (5, 5)).save(tmp_path / "size.png")
    Image.new("RGB", (4, 3)).save(tmp_path / "colour.png")
    Image.new("L", (4, 3)).save(tmp_path / "jpeg.png", format="JPEG")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes((tmp_path / "size.png").read_bytes()[:40])
    for name, said in {"size": "5 x 5", "colour": "RGB", "jpeg": "cannot", "text": "cannot", "cut": "."}.items():
        with pytest.raises(InvalidCase, match=rf"input\.path: {name}\.png.*{said}"):
            image().encode_png(tmp_path / f"{name}.png")


def test_npz_with_a_pickle_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", pixels=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InvalidCase, match="no readable array"):
        image().encode_npz(tmp_path / "x.npz")
