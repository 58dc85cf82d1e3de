"""The documents of the benchmark: posts of ten fields, and their authors."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import MongoClient

SEED = 20261121
DATABASE = "benchmark"
#: How many posts a bulk update changes.
BULK = 60
#: How many posts an author has.
POSTS_EACH = 50

_WORDS = ("falcon", "rocket", "orbit", "stage", "thrust", "nozzle", "pad", "crew")
_BEGINNING = datetime(2024, 1, 1)


def post_id(number: int) -> ObjectId:
    return ObjectId(f"{number:024x}")


def user_id(number: int) -> ObjectId:
    return ObjectId(f"a{number:023x}")


def post(number: int, authors: int, chance: random.Random) -> dict[str, Any]:
    """Return the ten fields of a post, without its _id."""
    return {
        "title": " ".join(chance.choices(_WORDS, k=4)),
        "author": user_id(number % authors),
        "rating": chance.randrange(10),
        "views": chance.randrange(100_000),
        "body": " ".join(chance.choices(_WORDS, k=20)),
        "is_published": chance.random() < 0.8,
        "tags": chance.sample(_WORDS, 3),
        "created": _BEGINNING + timedelta(milliseconds=1000 * number + chance.randrange(1, 1000)),
        "batch": number // BULK,
        "content": {"language": "en", "words": chance.randrange(1000)},
    }


def user(number: int) -> dict[str, Any]:
    """Return a user. Nobody is shown its password."""
    return {
        "_id": user_id(number),
        "name": f"user{number}",
        "email": f"user{number}@example.org",
        "password": "x" * 60,
    }


def authors_of(posts: int) -> int:
    return max(1, posts // POSTS_EACH)


def seed(uri: str, posts: int) -> None:
    """Fill the database; the same posts each time."""
    chance, authors = random.Random(SEED), authors_of(posts)
    with MongoClient[dict[str, Any]](uri) as client:
        database = client[DATABASE]
        database["users"].insert_many(map(user, range(authors)))
        database["posts"].insert_many(
            {"_id": post_id(number), **post(number, authors, chance)} for number in range(posts)
        )
        database["posts"].create_index([("author", 1), ("rating", 1)])
        database["posts"].create_index("batch")
        database.create_collection("new_posts")
