"""Middleware: who is calling, what is asked for, within which bounds.

It acts in ``process_resource``, on the views of its own :class:`~falcorest.api.FalcoRest` only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import falcon
from falcon.constants import HTTP_METHODS

from falcorest.auth.methods import authenticate
from falcorest.caller import CHALLENGE, caller_of, set_user, user_of
from falcorest.database import BUDGET, WAITED, Budget
from falcorest.errors import MethodNotAllowed, QueryError
from falcorest.formats import FORMAT, JSON, choose
from falcorest.links import begin
from falcorest.methods import Fetch, List
from falcorest.preconditions import Preconditions
from falcorest.query import EVERYTHING, Query
from falcorest.responding import View
from falcorest.views import PREPARED, ResourceView
from falcorest.writing import Writer, refusal


class Middleware:
    """Prepares a request for its view, or refuses it.

    Leaves the caller in ``req.context.user``, and what it prepares for the view in the environ.

    Args:
        views: The views that it acts on, and where they stand.
    """

    def __init__(self, views: Mapping[View, str]) -> None:
        self.views = views

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, params: dict[str, Any]
    ) -> None:
        """Authenticate the caller, parse the query string, bound it, guard bulk writes.

        Raises:
            Problem: The request is refused.
        """
        if not isinstance(resource, View) or resource not in self.views:
            return
        if req.method not in HTTP_METHODS:
            # NOTE: Falcon takes a method that it doesn't know for a bad request.
            raise method_not_allowed(resource.allowed("_item" if "id" in params else ""))
        if not isinstance(resource, ResourceView):
            return
        view = resource
        limit = view.service.time_limit
        # NOTE: to the client, it is one wait.
        left = (math.inf if limit is None else limit) - req.env.get(WAITED, 0.0)
        BUDGET.set(Budget(left))
        is_item = "id" in params
        if is_item and not params["id"]:
            # NOTE: Falcon takes the place of a collection that isn't served for an empty id.
            raise falcon.HTTPRouteNotFound
        method = (view.item_methods if is_item else view.collection_methods).get(req.method)
        if method is None:
            if req.method == "OPTIONS":
                return
            raise method_not_allowed(view.allowed("_item" if is_item else ""))
        if view.authentication_methods:
            req.env[CHALLENGE] = view.challenge
            required = not view.policy.is_public(method, req.method, view.public_methods)
            set_user(req, authenticate(req, view.authentication_methods, required=required))
        elif user_of(req) is None:
            set_user(req, None)
        if view.policy.is_personal and not view.policy.allows(method, caller_of(req)):
            raise refusal(req)
        # PERF: mostly there is no such header, or it takes everything.
        accept = req.env.get("HTTP_ACCEPT")
        if accept and accept != "*/*":
            chosen = choose(accept, of_list=method is List)
            if chosen != JSON:
                req.env[FORMAT] = chosen
        if method.writes and not is_item:
            given = Preconditions.of(req.env)
            if given is not None:
                given.require_of_list()
        dialect = view.dialect
        assert dialect is not None
        service = view.service if method.writes else view.answering
        work = Writer(view.resource(req, method, service), view)
        query = EVERYTHING
        if method is List:
            query = dialect.parse_list(req.query_string)
            query = begin(query, work.bounded_limit(query), view.cursors)
        elif method is Fetch:
            query = dialect.parse_item(req.query_string)
        elif method.bulk_write:
            query = dialect.parse_bulk(req.query_string)
            view.policy.require_filter(query)
        elif req.query_string:
            refuse_parameters(req.query_string)
        req.env[PREPARED] = (work, query)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, req_succeeded: bool
    ) -> None:
        """Let go of what was prepared."""
        # PERF: it knows the request, and in a circle they would wait for the garbage collector.
        req.env.pop(PREPARED, None)
        BUDGET.set(None)


def method_not_allowed(allowed: list[str]) -> MethodNotAllowed:
    """Return the error for a method that isn't served at an address."""
    return MethodNotAllowed(
        "method.not_allowed",
        "The address doesn't serve this method.",
        headers={"Allow": ", ".join([*allowed, "OPTIONS"])},
    )


def refuse_parameters(query_string: str) -> Query:
    """Refuse a query string where none is taken.

    Raises:
        QueryError: Always.
    """
    name = query_string.partition("&")[0].partition("=")[0]
    raise QueryError("query.unknown_parameter", "This request takes no parameters.", parameter=name)
