"""Routes: what is served where, and who may ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from falcorest.caller import ANONYMOUS, AUTHENTICATED, PUBLIC, Caller
from falcorest.methods import Method
from falcorest.permissions import PERMISSIONS
from falcorest.views import ResourceView, View

#: What everybody is who has logged in, and whose roles say nothing.
_SOMEBODY = Caller("somebody", frozenset({PUBLIC, AUTHENTICATED}))


@dataclass(frozen=True)
class Route:
    """Some HTTP methods at an address, which the same callers may ask for.

    Attributes:
        path: The template.
        methods: The HTTP methods.
        who: ``public``, ``login``, or roles; empty where the view decides by itself.
        resource: The name of the resource; empty where there is none.
        collection: Likewise.
    """

    path: str
    methods: tuple[str, ...]
    who: str
    resource: str = ""
    collection: str = ""


def routes_of(views: Mapping[View, str]) -> Iterator[Route]:
    """Yield what views serve, in the order in which they were registered."""
    for view, url in views.items():
        for suffix, path in (("", url), ("_item", f"{url}/{{id}}")):
            allowed = view.allowed(suffix)
            if not isinstance(view, ResourceView):
                if allowed:
                    yield Route(path, tuple(allowed), view.who)
                continue
            served = view.item_methods if suffix else view.collection_methods
            groups: dict[str, list[str]] = {}
            for verb in allowed:
                groups.setdefault(_who(view, served.get(verb), verb), []).append(verb)
            for who, verbs in groups.items():
                yield Route(path, tuple(verbs), who, view.name, view.service.collection.name)


def _who(view: ResourceView, method: type[Method] | None, verb: str) -> str:
    """Return who may ask for a method, as far as that is said and not decided by code."""
    if method is None:
        return PUBLIC
    policy = view.policy
    login = bool(view.authentication_methods) and not policy.is_public(
        method, verb, view.public_methods
    )
    roles = [
        " or ".join(sorted(one))
        for one in (policy.read if method.reads else None, policy.write if method.writes else None)
        if one is not None and one.isdisjoint(_SOMEBODY.roles)
    ]
    who = " and ".join(dict.fromkeys(roles))
    if not who:
        who = "login" if login or not policy.allows(method, ANONYMOUS) else PUBLIC
    hooks = [name for name in _asked(method) if _overrides(view, name)]
    return ", ".join([who, *hooks])


def _asked(method: type[Method]) -> Iterator[str]:
    read, *others = PERMISSIONS
    if method.reads:
        yield read
    if method.writes:
        yield from (name for name in others if name.split("_")[1] in method.permission)
