"""The classes that public calls return, found in what the calls say of themselves."""

import inspect
import re
import sys
from typing import Any

import dmft_rf


def returned_kinds() -> set[type]:
    """The package's classes that public functions and methods say they return, and their methods.

    A name in an annotation is looked up where the function is, and else among all modules.
    """
    everywhere = {
        name: value
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("dmft_rf.")
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__
    }
    homes = [dmft_rf, *(getattr(dmft_rf, name) for name in dmft_rf._MODULES)]
    todo: list[Any] = [
        getattr(home, name)
        for home in homes
        if home is dmft_rf or not hasattr(home, "__path__") or hasattr(home, "__all__")
        for name in getattr(home, "__all__", vars(home))
        if not name.startswith("_")
    ]
    found: set[type] = set()
    seen: set[int] = set()
    while todo:
        value = todo.pop()
        if id(value) in seen or not str(getattr(value, "__module__", "")).startswith("dmft_rf"):
            continue
        seen.add(id(value))
        if inspect.isclass(value):
            todo += [
                member
                for name, member in inspect.getmembers(value, inspect.isroutine)
                if not name.startswith("_")
            ]
            continue
        text = str(getattr(value, "__annotations__", {}).get("return", ""))
        names = vars(sys.modules[value.__module__])
        for name in re.findall(r"\w+", text):
            kind = names.get(name, everywhere.get(name))
            if inspect.isclass(kind) and kind.__module__.startswith("dmft_rf"):
                found.add(kind)
                todo.append(kind)
    return found
