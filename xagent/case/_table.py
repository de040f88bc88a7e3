"""Tables that a case names: reference population and recent window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xagent.errors import InvalidCase

if TYPE_CHECKING:
    import pandas as pd

MAX_TABLE_BYTES = 2 * 1024**3


def read_table(path: Path, field: str) -> pd.DataFrame:
    """Rows of a CSV or Parquet file, one column a feature. In a CSV an empty cell or `NaN` is a missing value; words
    like "None" or "NA" are levels, since that is what people call them.

    Raises InvalidCase, naming `field`, when the file is no such table.
    """
    import pandas as pd

    if path.stat().st_size > MAX_TABLE_BYTES:
        raise InvalidCase(f"{field}: {path.name} is larger than {MAX_TABLE_BYTES // 2**30} GiB.", "Sample it down.")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".csv":
            frame = pd.read_csv(path, keep_default_na=False, na_values=["", "NaN", "nan"])
            if any(str(name).endswith(".1") for name in frame.columns):  # how a name that stands twice comes back
                _refuse_twice(pd.read_csv(path, header=None, nrows=1, dtype=str, na_filter=False).iloc[0], field)
            return frame
    except ImportError as error:
        raise InvalidCase(f"{field}: Parquet needs pyarrow.", "pip install pyarrow, or give a CSV file.") from error
    except (ValueError, OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InvalidCase(
            f"{field}: {path.name} cannot be read as a table ({error}).", "Give a CSV with a header line."
        ) from error
    raise InvalidCase(f"{field}: {path.name} is neither .csv nor .parquet.", "Give a CSV with a header line.")


def _refuse_twice(header: pd.Series[str], field: str) -> None:
    again = header[header.duplicated() & (header != "")]
    if len(again):
        raise InvalidCase(f"{field}: the column {str(again.iloc[0])[:80]!r} stands twice.", "Keep one of them.")
