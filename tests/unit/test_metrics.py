"""What status saw, as node_exporter reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scitex_ssh.health import metrics
from scitex_ssh.plan.report import Observation

ODD = 'tu"nn\\el@[2001:db8::1]:2200'
SEEN = [
    Observation("2222", "verified", {"bastion": "tunnel@bastion", "restarts": "3", "uptime": "60"}),
    Observation("2223", "down", {"bastion": ODD, "restarts": "0", "uptime": ""}),
]


def _samples(text: str) -> dict[tuple[str, str, str], float]:
    """Every sample by its name, its tunnel and its level, read by Prometheus' own parser."""
    return {
        (each.name, each.labels.get("tunnel", ""), each.labels.get("level", "")): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def test_prometheus_reads_what_is_written() -> None:
    """Up, level, restarts and uptime of each tunnel, and when it was seen."""
    samples = _samples(metrics.text(SEEN, now=1700000000.9))
    assert samples["scitex_ssh_tunnel_up", "2222", ""] == 1
    assert samples["scitex_ssh_tunnel_up", "2223", ""] == 0
    assert samples["scitex_ssh_tunnel_level", "2222", "verified"] == 1
    assert samples["scitex_ssh_tunnel_level", "2222", "down"] == 0
    assert samples["scitex_ssh_tunnel_restarts_total", "2222", ""] == 3
    assert samples["scitex_ssh_tunnel_uptime_seconds", "2222", ""] == 60
    assert ("scitex_ssh_tunnel_uptime_seconds", "2223", "") not in samples
    assert samples["scitex_ssh_status_timestamp_seconds", "", ""] == 1700000000


def test_a_label_is_what_was_given() -> None:
    """Quotes and backslashes in a bastion's name come out as they went in."""
    families = text_string_to_metric_families(metrics.text(SEEN))
    labels = {each.labels.get("bastion") for family in families for each in family.samples}
    assert ODD in labels


def test_the_file_is_replaced_at_once(tmp_path: Path) -> None:
    """The new text is another file in the old one's place, which the collector can read."""
    path = tmp_path / "scitex_ssh.prom"
    path.write_text("old")
    before = path.stat().st_ino
    metrics.write(path, metrics.text(SEEN))
    assert path.read_text() == metrics.text(SEEN, now=_seen_at(path))
    assert path.stat().st_ino != before
    assert path.stat().st_mode & 0o777 == 0o644
    assert [*tmp_path.iterdir()] == [path]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Nothing is made on the way."""
    with pytest.raises(FileNotFoundError):
        metrics.write(tmp_path / "away" / "x.prom", "")
    assert [*tmp_path.iterdir()] == []


def _seen_at(path: Path) -> float:
    return _samples(path.read_text())["scitex_ssh_status_timestamp_seconds", "", ""]
