"""What TensorBoard's own reader finds in an event file: python tensorboard_read.py FILE > test/fixtures/tensorboard/expected.json

The file is what `npx tsx test/oracle/tensorboard-events.ts FILE` writes. Needs: tensorboard.
"""

import base64
import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

found = EventAccumulator(sys.argv[1])
found.Reload()
tags = found.Tags()
print(
    json.dumps(
        {
            "file": base64.b64encode(open(sys.argv[1], "rb").read()).decode(),
            "scalars": {tag: [[s.wall_time, s.step, s.value] for s in found.Scalars(tag)] for tag in tags["scalars"]},
            "texts": {
                tag: [[t.step, t.tensor_proto.string_val[0].decode()] for t in found.Tensors(tag)]
                for tag in tags["tensors"]
            },
            "plugins": {tag: found.SummaryMetadata(tag).plugin_data.plugin_name for tag in tags["tensors"]},
        },
        indent=1,
        sort_keys=True,
    )
)
