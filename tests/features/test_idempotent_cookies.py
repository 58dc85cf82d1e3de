"""Cookies that an author's responder sets, with an Idempotency-Key."""

from __future__ import annotations

import falcon
import pytest

from falcorest import Resource, ResourceView, methods
from tests.declared import MakeDeclared


class Notes(Resource):
    collection = "posts"


class NoteView(ResourceView):
    resource = Notes
    methods = methods.ALL

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Store, and set a cookie."""
        super().on_post(req, resp)
        resp.set_cookie("seen", "yes")


@pytest.mark.live
def test_the_first_answer_has_them(live_declared: MakeDeclared) -> None:
    api = live_declared(notes=NoteView)
    answers = [
        api("POST", "/notes", {"n": 1}, headers={"Idempotency-Key": '"k"'}) for _ in range(2)
    ]
    assert [one.status_code for one in answers] == [201, 201]
    assert answers[0].cookies["seen"].value == "yes"
    assert "seen" not in answers[1].cookies
    assert api.database.posts.count_documents({}) == 1
