"""Targets: the objects that commands are given as ``MODULE:NAME``, and the views in them."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import falcon

from falcorest.api import FalcoRest
from falcorest.errors import ConfigurationError
from falcorest.middleware import Middleware
from falcorest.responding import View


def load_views(target: str) -> dict[View, str]:
    """Return the views of an API or an application, and where they stand.

    Args:
        target: ``MODULE:NAME``, as ``app:api``; ``MODULE:NAME()`` for a function that makes it.
            The module is looked for in the working directory first.

    Raises:
        ConfigurationError: There is no such thing, or it can't be imported.
    """
    module, _, name = target.partition(":")
    called = name.endswith("()")
    name = name.removesuffix("()")
    if not module or not name.isidentifier():
        raise ConfigurationError(
            f"{target!a}: MODULE:API is needed, such as app:api or app:create_app()."
        )
    found = _attribute(_module(module), name)
    if called:
        found = _run(f"{name}()", found)
    views = views_of(found)
    if views is None:
        hint = f" Is {target}() meant?" if callable(found) and not called else ""
        raise ConfigurationError(
            f"{target}: a FalcoRest or a Falcon application is needed, not {type(found)!r}.{hint}"
        )
    return dict(views)


def views_of(thing: Any) -> Mapping[View, str] | None:
    """Return the views of an API, or of all of them in an application; None of anything else."""
    if isinstance(thing, FalcoRest):
        return thing.views
    if not isinstance(thing, falcon.App):
        return None
    views: dict[View, str] = {}
    for one in thing._unprepared_middleware:
        if isinstance(one, Middleware):
            views |= one.views
    return views


def _module(name: str) -> Any:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"There is no module {name}, here or installed.") from error
        raise _failed(name, error) from error
    except ConfigurationError:
        raise
    except Exception as error:
        raise _failed(name, error) from error


def _attribute(module: Any, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError as error:
        raise ConfigurationError(f"{module.__name__}: there is no {name} in it.") from error


def _run(name: str, function: Any) -> Any:
    try:
        return function()
    except ConfigurationError:
        raise
    except Exception as error:
        raise _failed(name, error) from error


def _failed(name: str, error: Exception) -> ConfigurationError:
    """Return the error for code of others that fails: what, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return ConfigurationError(f"{name}: it fails: {said}{where}")
