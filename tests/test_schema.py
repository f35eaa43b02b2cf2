"""`imitax.bench.schema`: a number that a learner reports is a column; old files lack some."""

import numpy as np
import pandas as pd
import pyarrow as pa

from imitax.bench import schema
from imitax.bench.results.reading import read_results
from imitax.core.types import Metrics


def test_every_metric_is_a_column_of_its_kind():
    kinds = {int: pa.int64(), float: pa.float64()}
    for name, default in Metrics()._asdict().items():
        flag = name == "fit_converged"
        assert schema.RESULTS.field(name).type == (pa.bool_() if flag else kinds[type(default)])


def test_numbers_take_the_types_of_their_columns():
    one = Metrics(expert_labels=np.int32([3, 4]), training_loss=np.float32([0.5, np.nan]))
    one = one._replace(fit_converged=np.int32([1, -1]))
    found = schema.number_columns({**one._asdict(), "finite": np.array([True, False])})
    assert set(found) == set(Metrics._fields)
    assert (found["expert_labels"].dtype, found["training_loss"].dtype) == (np.int64, np.float64)
    assert found["fit_converged"].tolist() == [True, None]


def test_a_directory_of_an_older_version_is_read(tmp_path):
    """Only the required columns are there; the others say that nothing is known."""
    (tmp_path / "results").mkdir()
    row = {"environment": "lane", "algorithm": "bc", "horizon": 4, "num_demos": 2, "seed": 0}
    row |= {"regret": 1.0, "learner_return": 2.0, "status": "ok", "expert_labels": 8}
    row |= {"environment_steps": 0, "knows_dynamics": False}
    pd.DataFrame([row]).to_parquet(tmp_path / "results" / "old.parquet")
    rows = read_results(tmp_path)
    assert sorted(rows) == sorted(schema.RESULTS.names)
    assert rows[[name for name in rows if name not in row]].isna().all(axis=None)
    assert {name: rows[name][0] for name in row} == row
