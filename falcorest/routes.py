"""Routes: what is served where, and who may ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich.text import Text

from falcorest.caller import ANONYMOUS, AUTHENTICATED, PUBLIC, Caller
from falcorest.methods import Method
from falcorest.responding import View
from falcorest.terminal import columns
from falcorest.views import ResourceView

#: What everybody is who has logged in, and whose roles say nothing.
_SOMEBODY = Caller("somebody", frozenset({PUBLIC, AUTHENTICATED}))
_ORDER = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


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
            allowed = sorted(view.allowed(suffix), key=_place)
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


def _place(verb: str) -> tuple[int, str]:
    return (_ORDER.index(verb) if verb in _ORDER else len(_ORDER), verb)


def _who(view: ResourceView, method: type[Method] | None, verb: str) -> str:
    """Return who may ask for a method, as far as that is said and not decided by code."""
    if method is None:
        return PUBLIC
    policy = view.policy
    login = bool(view.authentication_methods) and not policy.is_public(
        method, verb, view.public_methods
    )
    roles = [
        " or ".join(sorted(one)) or "nobody"
        for one in (policy.read if method.reads else None, policy.write if method.writes else None)
        if one is not None and one.isdisjoint(_SOMEBODY.roles)
    ]
    who = " and ".join(dict.fromkeys(roles))
    if not who:
        who = "login" if login or not policy.allows(method, ANONYMOUS) else PUBLIC
    return f"{who}, if permitted" if _decides(view, method, verb) else who


#: The permission that is asked for a write.
_PERMISSIONS = {
    "POST": "has_add_permission",
    "PUT": "has_change_permission",
    "PATCH": "has_change_permission",
    "DELETE": "has_delete_permission",
}


def _decides(view: ResourceView, method: type[Method], verb: str) -> bool:
    """Tell whether a permission that the author has written has a say."""
    asked = {_PERMISSIONS.get(verb), "has_read_permission" if method.reads else None}
    return not asked.isdisjoint(view.overridden | view.resource.overridden)


def route_table(views: Mapping[View, str]) -> Text:
    """Return a table of what views serve."""
    rows = [["Path", "Methods", "Who may", "Resource", "Collection"]]
    for route in routes_of(views):
        methods = ", ".join(route.methods)
        rows.append([route.path, methods, route.who, route.resource, route.collection])
    if len(rows) == 1:
        return Text("Nothing is served.")
    heading, *lines = columns(rows)
    return Text("\n").join([Text(), Text(heading, style="dim"), *map(Text, lines), Text()])
