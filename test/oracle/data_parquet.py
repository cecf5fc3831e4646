"""Writes the Parquet fixtures of the data tests with pyarrow, the way `datasets` and verl write theirs.

Usage: python data_parquet.py test/fixtures/data
"""

import datetime
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

folder = Path(sys.argv[1])

verl = [
    {
        "data_source": "openai/gsm8k",
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"What is {i} + {i}? ✓"}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": str(2 * i)},
        "extra_info": {"index": i, "split": "train"},
    }
    for i in range(5)
]
pq.write_table(pa.Table.from_pylist(verl), folder / "verl.parquet", compression="zstd", row_group_size=2)

preferences = [
    {
        "chosen": [{"role": "user", "content": f"Hi {i}"}, {"role": "assistant", "content": "Hello."}],
        "rejected": [{"role": "user", "content": f"Hi {i}"}, {"role": "assistant", "content": "Go away."}],
        "margin": 0.5 * i,
        "big": 2**60 + i,
        "small": i,
        "tags": ["a", "b"][: i % 3],
        "vector": [0.5, 0.25],
        "made": datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
        "raw": b"\x00\xff",
        "nothing": None if i % 2 else "x",
    }
    for i in range(4)
]
for compression in ["snappy", "gzip", "none"]:
    pq.write_table(pa.Table.from_pylist(preferences), folder / f"preferences-{compression}.parquet", compression=compression)
