"""The format of the spool's lines never changes, so records that an earlier version wrote still arrive."""

import json
from pathlib import Path

import pytest

from orchestrator.tracking.buffer.buffered import BufferedTracker
from orchestrator.tracking.buffer.payload import from_payload, to_payload
from orchestrator.tracking.buffer.spool import Spool
from orchestrator.tracking.records import (
    CloseStudy,
    CloseTrial,
    DatasetInput,
    LogArtifact,
    LogEpoch,
    OpenStudy,
    OpenTrial,
    Record,
)
from tests.support.recording_tracker import RecordingTracker

HEADER = (
    '{"kind": "OpenStudy", "study": "study", "signature": "s1", "params": {"seed": 0, "trials": 2}, '
    '"tags": {"aib.study": "study"}, "timestamp_ms": 1}'
)
LINES = (
    '{"seq":2,"kind":"OpenTrial","trial":"t1","name":"t1","params":{"optim.lr":0.1},"tags":{"aib.kind":"search"},'
    '"dataset":{"name":"d","digest":"1","source":"s","num_train":9,"num_val":0,"num_test":0},"timestamp_ms":2}',
    '{"seq":3,"kind":"OpenTrial","trial":"t2","name":"t2","params":{},"tags":{},"dataset":null,"timestamp_ms":2}',
    '{"seq":4,"kind":"LogEpoch","trial":"t1","epoch":1,"metrics":{"x":1.5},"timestamp_ms":3}',
    '{"seq":5,"kind":"LogArtifact","trial":"t1","local_path":"FILES/0a1b/map.png","artifact_path":"figures"}',
    '{"seq":6,"kind":"LogArtifact","trial":null,"local_path":"FILES/0a1b/map.png","artifact_path":null}',
    '{"seq":7,"kind":"CloseTrial","trial":"t1","state":"stopped","metrics":{"final":2.0},"tags":{"aib.reason":"asha"},'
    '"timestamp_ms":4}',
    '{"seq":8,"kind":"CloseStudy","state":"completed","metrics":{},"tags":{},"timestamp_ms":5}',
)
RECORDS: tuple[Record, ...] = (
    OpenTrial(
        "t1",
        "t1",
        {"optim.lr": 0.1},
        {"aib.kind": "search"},
        DatasetInput(name="d", digest="1", source="s", num_train=9),
        2,
    ),
    OpenTrial("t2", "t2", {}, {}, None, 2),
    LogEpoch("t1", 1, {"x": 1.5}, 3),
    LogArtifact("t1", "FILES/0a1b/map.png", "figures"),
    LogArtifact(None, "FILES/0a1b/map.png"),
    CloseTrial("t1", "stopped", {"final": 2.0}, {"aib.reason": "asha"}, 4),
    CloseStudy("completed", {}, {}, 5),
)


@pytest.mark.parametrize(("line", "record"), list(zip(LINES, RECORDS, strict=True)), ids=range(2, 9))
def test_a_record_and_its_line_are_the_ones_of_the_first_version(line: str, record: Record) -> None:
    payload = json.loads(line)
    seq = payload.pop("seq")
    assert from_payload(payload) == record
    assert json.dumps({"seq": seq, **to_payload(record)}, separators=(",", ":")) == line


def test_the_header_of_the_first_version_is_the_study_s_opening() -> None:
    opening = OpenStudy("study", "s1", {"seed": 0, "trials": 2}, {"aib.study": "study"}, 1)
    assert from_payload(json.loads(HEADER)) == opening
    assert json.dumps(to_payload(opening)) == HEADER


def test_a_spool_that_the_first_version_left_is_delivered(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    (spool / "files" / "0a1b").mkdir(parents=True)
    (spool / "files" / "0a1b" / "map.png").write_bytes(b"png")
    # Without the second artifact: the delivery of the first one removes their file.
    lines = [line.replace("FILES", str(spool / "files")) for line in LINES if '"seq":6' not in line]
    (spool / "0000000001.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (spool / "delivered").write_text("1")
    (spool / "header.json").write_text(HEADER)
    inner = RecordingTracker()
    tracker = BufferedTracker(inner, Spool(spool), first_delay_s=0.02)
    try:
        assert tracker.flush(10) == 0
        assert tracker.num_rejected == 0
    finally:
        tracker.close()
    assert inner.study == "study"
    assert set(inner.runs) == {None, "t1", "t2"}
    assert inner.runs["t1"]["history"] == {"x": [(1, 1.5)], "final": [(1, 2.0)]}
    assert inner.runs["t1"]["files"] == {"figures/map.png": b"png"}
    assert inner.runs["t1"]["datasets"] == {("d", "1")}
    assert (inner.runs["t1"]["tags"]["aib.state"], inner.runs[None]["status"]) == ("stopped", "FINISHED")
