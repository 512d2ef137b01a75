"""The end of the executable: runs `__main__` of MODULES, which has the code or the source of each module by its name.

A zip archive would do the same, but before it runs one Python imports as much as the whole program does.
"""

import sys
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    MODULES: dict[str, bytes | str] = {}


class Finder:
    """Finds the modules for `import`, and loads them."""

    @staticmethod
    def find_spec(name: "str", _path: "Any" = None, _target: "Any" = None) -> "ModuleSpec | None":
        return type(sys.__spec__)(name, Finder) if name in MODULES else None

    @staticmethod
    def create_module(_spec: "ModuleSpec") -> None:
        """Python's own kind of module will do."""

    @staticmethod
    def exec_module(module: "ModuleType") -> None:
        run(module.__name__, vars(module))


def run(name: "str", names: "dict[str, Any]") -> None:
    part = MODULES[name]
    exec(loads(part) if isinstance(part, bytes) else part, names)


sys.meta_path.insert(0, Finder)
run("__main__", {"__name__": "__main__"})
