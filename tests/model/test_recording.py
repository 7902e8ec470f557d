"""The chain of a recording's digests, as anybody can work it out."""

import hashlib

from alcove.model.recording import RecordingId, first_head, next_head


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_chain_begins_with_the_recordings_own_id() -> None:
    assert first_head(RecordingId("rec-1")) == sha256("alcove recording rec-1")


def test_each_head_is_of_the_one_before_and_the_pieces_digest() -> None:
    assert next_head("aa", "bb") == sha256("aa bb")
