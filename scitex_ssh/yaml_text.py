"""YAML whose every scalar is text, as it is written."""

from __future__ import annotations

from typing import Any

from scitex_ssh.model.text import shown


class BadYAML(ValueError):
    """The text is no YAML of ours; says why, in one line."""


def parse(text: str) -> Any:
    """Mappings, lists and text; `BadYAML`, and `ImportError` where there is no PyYAML."""
    import yaml

    class Loader(yaml.BaseLoader):
        """Without implied types, where ``yes`` and ``10.1`` are text; a key given twice is an error."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else None
                if name is None or name in seen:
                    why = "a key is no word" if name is None else f"{shown(name)} is there twice"
                    raise yaml.MarkedYAMLError(problem=why, problem_mark=key.start_mark)
                seen.add(name)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)  # a BaseLoader makes nothing but text of it
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise BadYAML(f"{line}{problem.problem or problem.context}".replace("\n", " ")) from problem
    except yaml.YAMLError as problem:
        raise BadYAML(" ".join(str(problem).split())) from problem
    except RecursionError as problem:
        raise BadYAML("it is nested too deeply") from problem
