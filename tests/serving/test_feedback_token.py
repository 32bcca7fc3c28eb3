"""Feedback tokens: each is valid for a single response, by a secret that the workers share."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tiltyard.errors import WorkspaceError
from tiltyard.serving.traffic.feedback_token import TOKEN, FeedbackTokens, read_secret


def test_token_is_valid_for_one_response_only(tmp_path: Path) -> None:
    """The signature covers every part of a token, with the secret of the folder."""
    tokens = FeedbackTokens(tmp_path / "one")
    owner = tokens.owner("")
    token = tokens.issue("iris", "a", owner, 3)
    assert tokens.verify("iris", "a", token) == (owner, 3)
    assert tokens.verify("sine", "a", token) is None
    assert tokens.verify("iris", "b", token) is None
    assert tokens.verify("iris", "a", token.replace(".3.", ".4.")) is None
    assert tokens.verify("iris", "a", tokens.owner("") + token[32:]) is None
    assert FeedbackTokens(tmp_path / "two").verify("iris", "a", token) is None
    assert FeedbackTokens(tmp_path / "one").verify("iris", "a", token) == (owner, 3)
    assert TOKEN.fullmatch(token)


def test_concurrent_processes_create_one_private_secret(tmp_path: Path) -> None:
    """Concurrent processes create one secret, readable by its owner only; a damaged one is reported with a hint."""
    secrets: list[bytes] = []
    threads = [threading.Thread(target=lambda: secrets.append(read_secret(tmp_path / "new"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(secrets)) == 1
    path = tmp_path / "new/.secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in path.parent.iterdir()) == [".secret", ".secret.lock"]
    path.write_bytes(b"short")
    with pytest.raises(WorkspaceError, match="expected 32 bytes; received 5") as caught:
        read_secret(path.parent)
    assert caught.value.hint.endswith(f"rm {path}")
