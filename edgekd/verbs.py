"""Packages that can be called.

``edgekd.distill`` is both the verb of the public API and the package of its implementation.
Python binds a subpackage to that name as soon as any of its modules is imported, so a plain
function of the same name would come and go with the order of imports. Here the package itself
answers the call, whatever was imported first.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from edgekd.registry import load_target


class Verb(ModuleType):
    """A package that runs a function when it is called."""

    verb_target: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Import the verb and call it."""
        return load_target(self.verb_target, what=self.__name__)(*args, **kwargs)


def make_callable(package: str, target: str) -> None:
    """Let ``package(...)`` call the function at ``target`` (``module:attribute``)."""
    module = sys.modules[package]
    module.__class__ = Verb
    module.verb_target = target  # type: ignore[attr-defined]
