"""Eve, with its own defaults but for the size of a page."""

from __future__ import annotations

import os
from typing import Any

from eve import Eve

POST = {
    "title": {"type": "string", "required": True},
    "author": {"type": "objectid"},
    "rating": {"type": "integer"},
    "views": {"type": "integer"},
    "body": {"type": "string"},
    "is_published": {"type": "boolean"},
    "tags": {"type": "list", "schema": {"type": "string"}},
    "created": {"type": "datetime"},
    "batch": {"type": "integer"},
    "content": {
        "type": "dict",
        "schema": {"language": {"type": "string"}, "words": {"type": "integer"}},
    },
}


def create_app() -> Any:
    uri, database = os.environ["MONGODB_URI"], os.environ["DATABASE"]
    return Eve(
        settings={
            "MONGO_URI": uri.replace("/?", f"/{database}?"),
            "DOMAIN": {"posts": {"schema": POST}},
            "PAGINATION_LIMIT": 100,
            "PAGINATION_DEFAULT": 100,
            "RENDERERS": ["eve.render.JSONRenderer"],
        }
    )
