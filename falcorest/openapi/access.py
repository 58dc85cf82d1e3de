"""Access: which requests to a view a caller may make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import falcon

from falcorest.auth.methods import AuthenticationBase, authenticate
from falcorest.caller import AUTHENTICATED, PUBLIC, Caller, caller_of, set_user, user_of
from falcorest.errors import Problem, Unauthorized
from falcorest.methods import List, Method
from falcorest.query import EVERYTHING, NOTHING
from falcorest.reading import Reader
from falcorest.views import ResourceView

_LOGGED_IN = Caller("somebody", frozenset({PUBLIC, AUTHENTICATED}))


@dataclass(frozen=True)
class Request:
    """A request that a caller may make, or could after a login.

    Attributes:
        method: What is asked for.
        now: Whether the caller may make it as things are.
        public: Whether it needs no login.
    """

    method: type[Method]
    now: bool
    public: bool


@dataclass(frozen=True)
class Access:
    """The requests to a view that a caller may make, by HTTP method.

    Attributes:
        collection: At the address of the collection.
        item: At the address of one document.
    """

    collection: Mapping[str, Request]
    item: Mapping[str, Request]

    @property
    def is_there(self) -> bool:
        """Whether the caller may make any request, and so may know of the view."""
        return any(one.now for one in (*self.collection.values(), *self.item.values()))

    @property
    def lists(self) -> bool:
        """Whether the caller may list documents."""
        return any(one.now for one in self.collection.values() if one.method is List)


def access_of(view: ResourceView, work: Reader) -> Access:
    """Return what the caller of a request may ask of a view.

    Args:
        view: The view.
        work: Reads for that caller.
    """
    blind = _sees_nothing(work)
    served = view.collection_methods, view.item_methods
    return Access(*(_requests(work.resource.req, view, one, blind=blind) for one in served))


def _sees_nothing(work: Reader) -> bool:
    """Tell whether the author's permissions let a caller read no document at all."""
    try:
        rule = work.readable(EVERYTHING).rule
    except Problem:
        return True
    return bool(rule.get("_id") == NOTHING["_id"])


def _requests(
    req: falcon.Request, view: ResourceView, served: Mapping[str, type[Method]], *, blind: bool
) -> dict[str, Request]:
    caller, known = caller_of(req), bool(user_of(req))
    found = {}
    for verb, method in served.items():
        public = not view.authentication_methods or view.policy.is_public(
            method, verb, view.public_methods
        )
        now = (known or public) and view.policy.allows(method, caller)
        if now and blind and method.reads:
            continue
        # NOTE: what only some roles may do is nobody else's business.
        later = not known and not public and view.policy.allows(method, _LOGGED_IN)
        if now or later:
            found[verb] = Request(method, now, public)
    return found


class Callers:
    """Who makes a request, to each of several views.

    Args:
        req: The request.
        views: The views. Credentials that are wrong to all of them are refused.

    Raises:
        Unauthorized: They are.
    """

    def __init__(self, req: falcon.Request, views: list[ResourceView]) -> None:
        self._req = req
        self._users: dict[tuple[AuthenticationBase, ...], object] = {}
        refused: list[Unauthorized] = []
        ways = dict.fromkeys(tuple(view.authentication_methods or ()) for view in views)
        for methods in filter(None, ways):
            try:
                self._users[methods] = authenticate(req, methods, required=False)
            except Unauthorized as error:
                self._users[methods] = None
                refused.append(error)
        if refused and len(refused) == len(self._users):
            raise refused[0]
        self._host = user_of(req)

    def enter(self, view: ResourceView) -> None:
        """Make the request one of the caller that a view knows."""
        methods = tuple(view.authentication_methods or ())
        set_user(self._req, self._users[methods] if methods else self._host)
