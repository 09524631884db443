"""What pyinfra's plugin index is told is there."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_every_plugin_is_there() -> None:
    """pyinfra itself reads the file, and each path leads to a module of ours."""
    pytest.importorskip("tomllib")
    metadata = pytest.importorskip("pyinfra.api.metadata")
    plugins = metadata.parse_plugins((ROOT / "pyinfra-metadata.toml").read_text("utf-8"))
    assert {plugin.type for plugin in plugins} == {"operation", "fact", "deploy"}
    for plugin in plugins:
        assert (ROOT / plugin.path).is_file(), plugin
    modules = {
        path for kind in ("operations", "facts") for path in (ROOT / "scitex_ssh" / kind).glob("[a-z]*.py")
    }
    named = {ROOT / plugin.path for plugin in plugins}
    parts = {
        ROOT / f"scitex_ssh/operations/{name}.py" for name in ("connections", "fleet", "lasting", "summary")
    }
    assert modules - named == parts, "parts of the deploys"
