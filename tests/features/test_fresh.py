"""Nothing that is kept goes stale: what one worker has written, every other one reads."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from random import Random
from time import monotonic
from typing import Any, ClassVar

import pytest
from bson import ObjectId
from marshmallow import fields as ma

from falcorest import Resource, ResourceView, Schema, auth, fields, methods
from falcorest import operators as ops
from falcorest.auth.users import change_password
from falcorest.settings import ResourceSettings
from tests.conftest import MakeApi
from tests.declared import DeclaredApi
from tests.support import assert_problem

pytestmark = pytest.mark.live

AUTHORS = [f"{number:024x}" for number in range(3)]
Documents = dict[str, dict[str, Any]]


class PostSchema(Schema):
    id = ma.String(attribute="_id")
    n = ma.Integer()
    text = ma.String()
    author = fields.Reference("authors")


class AuthorSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String()


class PlainAuthors(Resource):
    collection = "authors"
    schema = AuthorSchema
    fields: ClassVar[Any] = ["id", "name"]


class PlainPosts(Resource):
    collection = "posts"
    schema = PostSchema
    fields: ClassVar[Any] = ["id", "n"]


class Posts(Resource):
    collection = "posts"
    schema = PostSchema
    related_resources: ClassVar[Any] = {"author": PlainAuthors}
    filters: ClassVar[Any] = {"n": [ops.Exact, ops.Gte], "id": [ops.Exact]}
    allowed_ordering: ClassVar[Any] = ["n", "-n", "id"]


class Authors(Resource):
    collection = "authors"
    schema = AuthorSchema
    fields: ClassVar[Any] = ["id", "name", "posts"]
    related_resources: ClassVar[Any] = {"posts": PlainPosts}
    related_resources_hints: ClassVar[Any] = {"posts": "author"}


class PostView(ResourceView):
    resource = Posts
    methods = methods.ALL


class AuthorView(ResourceView):
    resource = Authors
    methods = methods.ALL


class Workers:
    """Two applications on one database, of which each has its own client, as workers have.

    Attributes:
        apps: They.
        stored: What must be there, by the ids: posts, without references to authors in them.
        names: Of the authors.
    """

    id_name = "_id"
    url = "/api/posts"

    def __init__(self, apps: list[Any]) -> None:
        self.apps = apps
        self.database = apps[0].database
        self.stored: Documents = {}
        self.names = dict.fromkeys(AUTHORS, "x")
        self.tags: dict[str, str] = {}

    def documents(self, result: Any) -> list[Any]:
        assert result.status_code == 200, result.text
        return list(result.json)

    def seen(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return a document as it is shown."""
        return document

    def only_n(self, n: int) -> str:
        return f"n=eq[int].{n}"

    def sorted_by_n(self, direction: int, then: str = "") -> str:
        way = "ascending" if direction == 1 else "descending"
        return f"_sort=(n:{way}){f',({then}:{way})' * bool(then)}"

    # ------------------------------------------------------------------------------- writing

    def write(self, app: Any, random: Random) -> None:
        """Do one of the writes; what it answers means that it is done."""
        ways = [self.create, self.create_many, self.patch, self.patch, self.put, self.delete]
        ways += [self.change_many, self.remove_many, self.rename]
        random.choice(ways)(app, random)

    def _new(self, random: Random) -> dict[str, Any]:
        identity = f"p{random.randrange(10**9)}"
        author = random.choice(AUTHORS)
        return {self.id_name: identity, "n": random.randrange(4), "text": "new", "author": author}

    def _is(self, result: Any, *statuses: int) -> None:
        assert result.status_code in statuses, result.text

    def create(self, app: Any, random: Random) -> None:
        new = self._new(random)
        self._is(app("POST", self.url, new), 201)
        self.stored[new[self.id_name]] = new

    def create_many(self, app: Any, random: Random) -> None:
        some = [self._new(random) for _ in range(3)]
        self._is(app("POST", self.url, some), 201)
        self.stored |= {one[self.id_name]: one for one in some}

    def patch(self, app: Any, random: Random) -> None:
        if self.stored:
            identity = random.choice(sorted(self.stored))
            change = {"n": random.randrange(4), "text": str(random.random())}
            self._is(app("PATCH", f"{self.url}/{identity}", change), 200, 204)
            self.stored[identity] |= change

    def put(self, app: Any, random: Random) -> None:
        if self.stored:
            identity = random.choice(sorted(self.stored))
            whole = {**self._new(random), self.id_name: identity}
            self._is(app("PUT", f"{self.url}/{identity}", whole), 200, 204)
            self.stored[identity] = whole

    def delete(self, app: Any, random: Random) -> None:
        if self.stored:
            identity = random.choice(sorted(self.stored))
            self._is(app("DELETE", f"{self.url}/{identity}"), 204)
            del self.stored[identity]

    def change_many(self, app: Any, random: Random) -> None:
        n, text = random.randrange(4), str(random.random())
        body = {"$set": {"text": text}} if self.id_name == "_id" else {"text": text}
        self._is(app("PATCH", f"{self.url}?{self.only_n(n)}", body), 200)
        for one in self.stored.values():
            if one["n"] == n:
                one["text"] = text

    def remove_many(self, app: Any, random: Random) -> None:
        n = random.randrange(4)
        if sum(one["n"] == n for one in self.stored.values()) < 4:
            self._is(app("DELETE", f"{self.url}?{self.only_n(n)}"), 200)
            self.stored = {key: one for key, one in self.stored.items() if one["n"] != n}

    def rename(self, app: Any, random: Random) -> None:
        author, name = random.choice(AUTHORS), str(random.random())
        url = self.url.replace("posts", "authors")
        self._is(app("PATCH", f"{url}/{author}", {"name": name}), 200, 204)
        self.names[author] = name

    def index(self, random: Random) -> None:
        """Create or drop an index."""
        posts = self.database["posts"]
        keys = random.choice([[("n", 1)], [("n", 1), ("_id", 1)], [("n", -1), ("text", 1)]])
        if random.random() < 0.3:
            posts.drop_indexes()
        else:
            posts.create_index(keys)

    # -------------------------------------------------------------------------------- reading

    def check(self, app: Any, random: Random) -> None:
        """Read all that there is in every way."""
        expected = {key: self.seen(one) for key, one in self.stored.items()}

        def by_id(documents: list[Any]) -> dict[str, Any]:
            assert len({one[self.id_name] for one in documents}) == len(documents)
            return {one[self.id_name]: one for one in documents}

        assert by_id(self.documents(app.get(f"{self.url}?_limit=100"))) == expected
        n, direction = random.randrange(4), random.choice([1, -1])
        some = self.documents(app.get(f"{self.url}?{self.only_n(n)}&_limit=100"))
        assert by_id(some) == {key: one for key, one in expected.items() if one["n"] == n}
        counted = app.get(f"{self.url}?{self.only_n(n)}&_limit=1&_count=exact")
        assert int(counted.headers["x-total-count"]) == len(some)
        for way in (
            f"{self.sorted_by_n(direction)}&_skip=0",
            f"{self.sorted_by_n(direction, self.id_name)}&_skip=0",
            f"{self.sorted_by_n(direction)}&_after=",
        ):
            pages = self.walk(app, f"{self.url}?{way}&_limit=3")
            assert by_id(pages) == expected
            order = [one["n"] for one in pages]
            assert order == sorted(order, reverse=direction == -1)
        for identity in [*random.sample(sorted(expected), min(3, len(expected))), *self.tags]:
            self.check_one(app, identity, expected.get(identity))

    def walk(self, app: Any, url: str) -> list[Any]:
        """Return the documents of all pages, by the links to the next ones."""
        found: list[Any] = []
        while True:
            result = app.get(url)
            found += self.documents(result)
            link = re.search(r'<([^>]+)>; rel="next"', result.headers.get("link", ""))
            if link is None:
                return found
            url = link[1]

    def check_one(self, app: Any, identity: str, expected: Any) -> None:
        url = f"{self.url}/{identity}"
        tag = self.tags.pop(identity, None)
        result = app.get(url, headers={"If-None-Match": tag} if tag else {})
        if expected is None:
            assert_problem(result, 404, "document.not_found")
            return
        if result.status_code == 304:
            result = app.get(url)
            assert result.headers["etag"] == tag
        assert result.json == expected
        self.tags[identity] = result.headers["etag"]


class DeclaredWorkers(Workers):
    id_name = "id"
    url = "/posts"

    def documents(self, result: Any) -> list[Any]:
        assert result.status_code == 200, result.text
        return list(result.json["data"])

    def seen(self, document: dict[str, Any]) -> dict[str, Any]:
        author = document["author"]
        return {**document, "author": {"id": author, "name": self.names[author]}}

    def only_n(self, n: int) -> str:
        return f"n={n}"

    def sorted_by_n(self, direction: int, then: str = "") -> str:
        return f"_order_by={'n' if direction == 1 else '-n'}{',' * bool(then)}{then}"

    def check(self, app: Any, random: Random) -> None:
        super().check(app, random)
        for author in self.documents(app.get("/authors")):
            assert author["name"] == self.names[author["id"]]
            assert {one["id"]: one["n"] for one in author["posts"]} == {
                one["id"]: one["n"] for one in self.stored.values() if one["author"] == author["id"]
            }


@pytest.fixture(params=["zero-code", "declared"])
def workers(request: pytest.FixtureRequest, make_api: MakeApi, mongo_uri: str) -> Workers:
    """Two workers behind one of the doors."""
    both = "posts:posts,authors:authors"
    first = make_api(mongo_uri, both)
    second = make_api(mongo_uri, both, database=first.database.name)
    found = Workers([first, second])
    if request.param == "declared":
        apps = [
            DeclaredApi(one.database).register(posts=PostView, authors=AuthorView)
            for one in (first, second)
        ]
        found = DeclaredWorkers(apps)
    first.database["authors"].insert_many([{"_id": ObjectId(one), "name": "x"} for one in AUTHORS])
    return found


def test_what_one_worker_has_written_every_worker_reads(workers: Workers) -> None:
    random = Random(6)
    for _ in range(25):
        workers.write(random.choice(workers.apps), random)
        if random.random() < 0.2:
            workers.index(random)
        readers = random.sample(workers.apps, 2)
        for app in readers:
            workers.check(app, random)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_what_is_written_is_read_at_length(seed: int, workers: Workers) -> None:
    random = Random(seed)
    for _ in range(150):
        workers.write(random.choice(workers.apps), random)
        workers.index(random)
        for app in workers.apps:
            workers.check(app, random)


def test_a_reader_beside_two_writers_is_never_behind_what_they_were_answered(
    workers: Workers,
) -> None:
    """While writers write, whatever has been acknowledged is read."""
    done = {"w0": 0, "w1": 0}
    for identity in done:
        new = {workers.id_name: identity, "n": 0, "text": "", "author": AUTHORS[0]}
        assert workers.apps[0]("POST", workers.url, new).status_code == 201
    until = monotonic() + 0.8
    failed: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            while monotonic() < until and not failed:
                work()
        except BaseException as error:
            failed.append(error)

    def writer(number: int) -> Callable[[], None]:
        identity, app = f"w{number}", workers.apps[number]

        def work() -> None:
            n = done[identity] + 1
            result = app("PATCH", f"{workers.url}/{identity}", {"n": n})
            assert result.status_code in (200, 204), result.text
            done[identity] = n

        return work

    def read() -> None:
        for app in workers.apps:
            for url in ("?_limit=5", f"?{workers.sorted_by_n(-1)}&_limit=5", "?_limit=5&_after="):
                least = dict(done)
                for one in workers.documents(app.get(workers.url + url)):
                    assert one["n"] >= least[one[workers.id_name]]
            for identity, n in dict(done).items():
                one = app.get(f"{workers.url}/{identity}")
                assert one.json["n"] >= n
                again = app.get(
                    f"{workers.url}/{identity}", headers={"If-None-Match": one.headers["etag"]}
                )
                assert again.status_code == 304 or again.json["n"] > n

    works = [writer(0), writer(1), read]
    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    assert min(done.values()) > 5


def test_of_users_nothing_is_kept_but_what_their_tokens_say(
    make_api: MakeApi, mongo_uri: str
) -> None:
    """A token is good until it expires; everything else is asked for each time."""
    rules = {"rules": {"write": ["editor"], "rows": {"guest": {"shown": True}}}}
    settings: dict[str, Any] = {"resources": {"rockets": ResourceSettings(**rules)}}
    first = make_api(mongo_uri, **settings)
    second = make_api(mongo_uri, **settings, database=first.database.name)
    people = first.database[first.settings.user_collection]
    auth.create_user(people, "ada", "one", ["editor"])

    def login(api: Any, password: str) -> Any:
        return api("POST", "/login", {"username": "ada", "password": password}, token=None)

    editor = login(first, "one").json["access_token"]
    for api in (first, second):
        assert api("POST", "/api/rockets", {"n": 1}, token=editor).status_code == 201
        assert api.get("/me", token=editor).status_code == 200
    people.update_one({"username": "ada"}, {"$set": {"roles": []}})
    for api in (first, second):
        nobody = login(api, "one").json["access_token"]
        assert api("POST", "/api/rockets", {"n": 1}, token=nobody).status_code == 403
        # NOTE: this is what the contract says.
        assert api("POST", "/api/rockets", {"n": 1}, token=editor).status_code == 201
    change_password(people, "ada", "two")
    for api in (second, first):
        assert login(api, "one").status_code == 401
        assert login(api, "two").status_code == 200
    people.delete_one({"username": "ada"})
    for api in (first, second):
        assert login(api, "two").status_code == 401
        assert_problem(api.get("/me", token=editor), 401, "auth.invalid")


def test_an_index_that_makes_values_unique_holds_at_once(workers: Workers) -> None:
    first, second = workers.apps
    create = {workers.id_name: "a", "n": 1, "text": "x", "author": AUTHORS[0]}
    assert first("POST", workers.url, create).status_code == 201
    workers.database["posts"].create_index("text", unique=True)
    for app in (first, second):
        problem = app("POST", workers.url, {**create, workers.id_name: "b"})
        assert_problem(problem, 409, "document.duplicate")
        assert json.loads(problem.text)["field-errors"].keys() == {"text"}
    workers.database["posts"].drop_indexes()
    for number, app in enumerate((first, second)):
        again = {**create, workers.id_name: f"b{number}"}
        assert app("POST", workers.url, again).status_code == 201
