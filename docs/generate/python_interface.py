"""The Python interface, from its signatures and docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import markdown_text as markdown

import tiltyard

INTRODUCTION = """```python
import tiltyard as ty
```

The same functions as behind the commands, for notebooks and scripts. Tables are data frames of pandas. Errors are
exceptions of `tiltyard.errors`, of which `TiltyardError` is the base class; its `hint` says what to do next."""


def page() -> str:
    """Return the page: functions, then classes with their members."""
    found = {name: getattr(tiltyard, name) for name in tiltyard.__all__}
    functions = {name: one for name, one in found.items() if inspect.isfunction(one)}
    parts = [INTRODUCTION, "## Functions"]
    for name, function in functions.items():
        parts += [f"### ty.{name}", _signature(f"ty.{name}", function), inspect.getdoc(function) or ""]
    for name, one in found.items():
        if inspect.isclass(one):
            parts += [f"## {name}", inspect.getdoc(one) or "", *_members(one)]
    return markdown.page("Python interface", *parts)


def _members(one: type) -> Iterator[str]:
    """Yield the documented members of a class."""
    if one is tiltyard.Client:
        yield _signature("ty.Client", one.__init__)
    for name, member in vars(one).items():
        if name.startswith("_") and name != "__getitem__":
            continue
        if isinstance(member, property):
            yield f"**`.{name}`** — {inspect.getdoc(member)}"
        elif inspect.isfunction(member):
            shown = "project[name]" if name == "__getitem__" else f".{name}"
            yield f"**`{shown}`** — {inspect.getdoc(member)}"
            if name != "__getitem__":
                yield _signature(name, member)


def _signature(name: str, function: Any) -> str:
    """Return the call as it is written in the code."""
    parameters = [_parameter(one) for one in inspect.signature(function).parameters.values() if one.name != "self"]
    keyword = [one.kind for one in inspect.signature(function).parameters.values() if one.name != "self"]
    if inspect.Parameter.KEYWORD_ONLY in keyword and inspect.Parameter.VAR_POSITIONAL not in keyword:
        parameters.insert(keyword.index(inspect.Parameter.KEYWORD_ONLY), "*")
    returned = inspect.signature(function).return_annotation
    return markdown.block(
        f"{name}({', '.join(parameters)})" + (f" -> {returned}" if returned != "None" else ""), "python"
    )


def _parameter(one: inspect.Parameter) -> str:
    stars: dict[Any, str] = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}
    default = "" if one.default is inspect.Parameter.empty else f" = {one.default!r}"
    return f"{stars.get(one.kind, '')}{one.name}: {one.annotation}{default}"
