"""A process to kill: logs epochs of two trials without end, and prints each epoch after its call has returned.

python spooling_process.py ROOT FIRST_EPOCH
"""

import sys
from itertools import count
from pathlib import Path

from orchestrator.tracking.buffer.buffered import BufferedTracker
from orchestrator.tracking.buffer.spool import Spool
from orchestrator.tracking.mlflow.store import local_tracking_uri
from orchestrator.tracking.mlflow.tracker import MlflowTracker
from orchestrator.tracking.records import LogEpoch, OpenStudy, OpenTrial

root, first = Path(sys.argv[1]), int(sys.argv[2])
tracker = BufferedTracker(
    MlflowTracker(local_tracking_uri(root), root / "artifacts", system_metrics=False), Spool(root / "spool")
)
tracker.write(OpenStudy("study", "s1", {}, {}))
for trial in ("t1", "t2"):
    tracker.write(OpenTrial(trial, trial, {"a": 1}, {}, None))
for epoch in count(first):
    for trial in ("t1", "t2"):
        tracker.write(LogEpoch(trial, epoch, {"x": float(epoch), "y": 0.5}, epoch))
    print(epoch, flush=True)
