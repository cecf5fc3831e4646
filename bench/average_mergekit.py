"""mergekit's `linear` on model directories: the peer of the averaging benchmark.

    python average_mergekit.py OUT MEMBER...

Writes the uniform average in float32 to OUT and prints one line of JSON: `seconds` (the merge and flushing it to disk, without imports),
`peakMb`, `version`. Without mergekit it ends with exit code 3.
"""

import json
import os
import resource
import sys
import time

try:
    import mergekit
    import pydantic

    # Newer pydantic than mergekit pins: its models hold tensors.
    pydantic.BaseModel.model_config["arbitrary_types_allowed"] = True
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions
except ImportError:
    sys.exit(3)

out, *members = sys.argv[1:]
if not members:
    sys.exit(0)
configuration = MergeConfiguration.model_validate(
    {
        "models": [{"model": member, "parameters": {"weight": 1.0}} for member in members],
        "merge_method": "linear",
        "dtype": "float32",
    }
)
start = time.perf_counter()
run_merge(configuration, out, options=MergeOptions(copy_tokenizer=False))
for name in os.listdir(out):
    with open(os.path.join(out, name), "rb") as file:
        os.fsync(file.fileno())
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "peakMb": peak, "version": getattr(mergekit, "__version__", None)}))
