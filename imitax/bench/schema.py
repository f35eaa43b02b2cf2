"""Which columns the files of results have: the one place that says so.

A number that a learner reports is a field of `imitax.core.types.Metrics`, whose default stands
where it has no meaning, and a line of `RESULTS`. Nothing else lists them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

_KEYS = [
    pa.field("environment", pa.string(), nullable=False),
    pa.field("algorithm", pa.string(), nullable=False),
    pa.field("horizon", pa.int32(), nullable=False),
    pa.field("num_demos", pa.int32(), nullable=False),
    pa.field("seed", pa.int64(), nullable=False),
]

RESULTS = pa.schema(
    [
        *_KEYS,
        pa.field("regret", pa.float64(), nullable=False),
        pa.field("learner_return", pa.float64(), nullable=False),
        pa.field("expert_return", pa.float64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("expert_labels", pa.int64(), nullable=False),
        pa.field("environment_steps", pa.int64(), nullable=False),
        pa.field("knows_dynamics", pa.bool_(), nullable=False),
        pa.field("reward_form", pa.string(), nullable=False),
        pa.field("iterations", pa.int64(), nullable=False),
        pa.field("converged", pa.bool_()),
        pa.field("moment_gap", pa.float64()),
        pa.field("equilibrium_gap", pa.float64()),
        pa.field("expected_value_difference", pa.float64()),
        pa.field("epic_distance", pa.float64()),
        pa.field("gradient_updates", pa.int64(), nullable=False),
        pa.field("training_loss", pa.float64()),
        pa.field("held_out_loss", pa.float64()),
        pa.field("fit_converged", pa.bool_()),
    ]
)
"""Columns of the result files, one row per seed; null where a metric has no meaning."""

CURVES = pa.schema(
    [
        *_KEYS,
        pa.field("checkpoint", pa.int32(), nullable=False),
        pa.field("iterations", pa.int64(), nullable=False),
        pa.field("environment_steps", pa.int64(), nullable=False),
        pa.field("expert_labels", pa.int64(), nullable=False),
        pa.field("learner_return", pa.float64(), nullable=False),
        pa.field("regret", pa.float64(), nullable=False),
    ]
)
"""Columns of the curve files, one row per seed and checkpoint; NaN where the policy was not finite.
"""

KEYS = [field.name for field in _KEYS]
"""What a row is of; no two rows of a directory have the same."""

REQUIRED = [
    *KEYS,
    *("regret", "learner_return", "status", "expert_labels", "environment_steps", "knows_dynamics"),
]
"""Columns of `RESULTS` that every directory has; older ones may lack the others."""


def absent() -> dict[str, Any]:
    """What stands in the columns that older directories lack: nothing is known."""
    later = [field for field in RESULTS if field.name not in REQUIRED]
    words = {pa.string(), pa.bool_()}
    return {field.name: None if field.type in words else np.nan for field in later}


def key_columns(
    environment: str, algorithm: str, horizon: int, num_demos: Any, seed: np.ndarray
) -> dict[str, np.ndarray]:
    """The columns of `KEYS`.

    Args:
        environment: spec.
        algorithm: spec.
        horizon: of all rows.
        num_demos: of all rows, or [n].
        seed: [n].
    """
    values = (environment, algorithm, horizon, num_demos, seed)
    return {
        field.name: np.full(seed.shape, value, field.type.to_pandas_dtype())
        for field, value in zip(_KEYS, values, strict=True)
    }


def number_columns(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays in the types of their columns: int64, float64, and bool, whose -1 becomes None.

    Args:
        values: column -> array of a program; those that are no column are left out.
    """
    found = {}
    for name, leaf in values.items():
        if name not in RESULTS.names:
            continue
        field, leaf = RESULTS.field(name), np.asarray(leaf)
        if pa.types.is_boolean(field.type) and leaf.dtype.kind == "i":
            found[name] = np.where(leaf >= 0, leaf == 1, None)
        else:
            found[name] = leaf.astype(field.type.to_pandas_dtype())
    return found


def to_table(columns: Mapping[str, np.ndarray], schema: pa.Schema = RESULTS) -> pa.Table:
    """The Arrow table of a chunk's columns, by default with the schema of the result files."""
    arrays = [
        pa.array(columns[field.name], type=field.type, from_pandas=field.nullable)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
