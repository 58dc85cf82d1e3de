"""Kinds: documents of one collection with different schemas, told apart by a discriminator."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import falcon
import pytest
from bson import ObjectId
from marshmallow import INCLUDE, validate
from marshmallow import fields as ma

from falcorest import ConfigurationError, Query, Resource, ResourceView, Schema, fields, methods
from falcorest import operators as ops
from tests import watching
from tests.declared import DeclaredApi, MakeDeclared
from tests.support import assert_problem
from tests.watching import snapshot

Document = dict[str, Any]

#: One database is shared by all tests here.
shared_databases, make_database = watching.shared_databases, watching.make_database
WITHOUT_REPLACE = [method for method in methods.ALL if method is not methods.Replace]


class PersonSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    name = ma.String(required=True)
    age = ma.Integer()


class MaleSchema(PersonSchema):
    beard = ma.Boolean(required=True, attribute="b")


class FemaleSchema(PersonSchema):
    maiden_name = ma.String(validate=validate.Length(min=2))


class Male(Resource):
    schema = MaleSchema
    rename_fields = {"beard": "hasBeard"}


class Female(Resource):
    schema = FemaleSchema
    fields = ["id", "name", "maiden_name", "title"]

    def title(self, document: Document) -> str:
        return f"Ms {document['name']}"


class People(Resource):
    collection = "people"
    child_document_resources = {"male": Male, "female": Female}
    type_field = "_cls"
    filters = {
        "name": [ops.Exact, ops.Startswith],
        "hasBeard": [ops.Boolean],
        "maiden_name": [ops.Exact],
        "age": [ops.Gte],
    }
    allowed_ordering = ["name", "-name", "maiden_name", "-age"]


class PeopleWithDefault(People):
    child_document_resources = {"male": Male, "female": Female}
    default_child_resource_document = "female"


#: What resources of kinds say that are made for one test.
SAYS: Document = {"collection": "people", "type_field": "_cls"}


def views(resource: type[Resource] = People) -> dict[str, type[ResourceView]]:
    """Return a view of everything, and one in which PUT updates."""
    return {
        "people": type("View", (ResourceView,), {"resource": resource, "methods": methods.ALL}),
        "updated": type(
            "Updated", (ResourceView,), {"resource": resource, "methods": WITHOUT_REPLACE}
        ),
    }


def put_person(api: DeclaredApi, name: str, kind: Any = ..., **values: Any) -> Document:
    own = {} if kind is ... else {"_cls": kind}
    person = {"_id": ObjectId(), **own, "name": name, **values}
    api.database.people.insert_one(person)
    return person


@pytest.fixture
def api(make_declared: MakeDeclared) -> DeclaredApi:
    return make_declared(**views())


# ------------------------------------------------------------------------------------- reading


def test_a_list_mixes_kinds_each_shown_by_its_resource(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    bob = put_person(api, "Bob", "male", b=True, maiden_name="none of his", age=5)
    ann = put_person(api, "Ann", "female", maiden_name="Lee", b=True, age=6)
    tom = put_person(api, "Tom", "male", b=False)
    shown = {
        "Bob": {"id": str(bob["_id"]), "name": "Bob", "age": 5, "hasBeard": True},
        "Ann": {"id": str(ann["_id"]), "name": "Ann", "maiden_name": "Lee", "title": "Ms Ann"},
        "Tom": {"id": str(tom["_id"]), "name": "Tom", "hasBeard": False},
    }
    assert api.get("/people/").json == {"data": list(shown.values()), "has_more": False}
    for person in (bob, ann, tom):
        assert api.get(f"/people/{person['_id']}").json == shown[person["name"]]


def test_filters_and_ordering_reach_over_all_kinds(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    put_person(api, "Bob", "male", b=True, age=5)
    put_person(api, "Ann", "female", maiden_name="Lee", age=6)
    put_person(api, "Tom", "male", b=False, age=7)
    put_person(api, "Eve", "female", maiden_name="Kay", age=8)

    def names(query: str) -> list[str]:
        return [one["name"] for one in api.listed(f"/people/?{query}")]

    assert names("hasBeard=true") == ["Bob"]
    assert names("maiden_name=Lee") == ["Ann"]
    assert names("name__startswith=T") == ["Tom"]
    assert names("age__gte=7") == ["Tom", "Eve"]
    assert names("_order_by=name") == ["Ann", "Bob", "Eve", "Tom"]
    assert names("_order_by=-age&_limit=2") == ["Eve", "Tom"]
    assert names("maiden_name=Kay&_order_by=maiden_name") == ["Eve"]
    for wrong in ("beard=true", "b=true", "title=x", "_cls=male"):
        assert_problem(api.get(f"/people/?{wrong}"), 400, "query.unknown_parameter")
    assert_problem(api.get("/people/?_order_by=hasBeard"), 400, "query.invalid_sort")


def test_fields_reach_over_all_kinds(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    bob = put_person(api, "Bob", "male", b=True)
    ann = put_person(api, "Ann", "female", maiden_name="Lee")
    assert api.listed("/people/?_fields=name") == [{"name": "Bob"}, {"name": "Ann"}]
    assert api.listed("/people/?_fields=hasBeard") == [{"hasBeard": True}, {}]
    assert api.listed("/people/?_fields=name,title,hasBeard") == [
        {"name": "Bob", "hasBeard": True},
        {"name": "Ann", "title": "Ms Ann"},
    ]
    assert api.get(f"/people/{ann['_id']}?_fields=maiden_name").json == {"maiden_name": "Lee"}
    assert api.get(f"/people/{bob['_id']}?_fields=maiden_name").json == {}
    assert set(api.listed("/people/?_fields=_all")[1]) == {"id", "name", "maiden_name", "title"}
    for wrong in ("beard", "b", "nope", "_cls", "name,nope"):
        assert_problem(api.get(f"/people/?_fields={wrong}"), 400, "query.unknown_field")


def test_kinds_in_a_stream(make_declared: MakeDeclared) -> None:
    unpaged = type("Unpaged", (People,), {"paginate": False})
    api = make_declared(**views(unpaged))
    for number in range(600):
        put_person(api, str(number), "male" if number % 2 else "female", b=True)
    shown = api.listed("/people/")
    assert [one["name"] for one in shown] == [str(number) for number in range(600)]
    assert all(("hasBeard" in one) is bool(number % 2) for number, one in enumerate(shown))
    assert "has_more" not in api.get("/people/").json


# ------------------------------------------------------------------------------------- creating


def test_the_discriminator_says_which_resource_a_body_is_for(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    bob = api.create("/people/", {"_cls": "male", "name": "Bob", "hasBeard": True})
    ann = api.create("/people/", {"_cls": "female", "name": "Ann", "maiden_name": "Lee"})
    assert bob == {"id": bob["id"], "name": "Bob", "hasBeard": True}
    assert ann == {"id": ann["id"], "name": "Ann", "maiden_name": "Lee", "title": "Ms Ann"}
    stored = list(api.database.people.find({}, {"_id": 0}))
    assert stored == [
        {"_cls": "male", "name": "Bob", "b": True},
        {"_cls": "female", "name": "Ann", "maiden_name": "Lee"},
    ]


def test_a_bulk_create_may_mix_kinds(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    bodies = [
        {"_cls": "male", "name": "Bob", "hasBeard": True},
        {"_cls": "female", "name": "Ann"},
    ]
    shown = api.create("/people/", bodies)["data"]
    assert [set(one) for one in shown] == [{"id", "name", "hasBeard"}, {"id", "name", "title"}]
    result = api.post("/people/", [bodies[0], {"_cls": "male", "name": "Tom"}])
    errors = assert_problem(result, 400, "body.invalid")["field-errors"]
    assert list(errors["1"]) == ["hasBeard"]
    assert api.database.people.count_documents({}) == 2


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"_cls": "male", "name": "x"}, "hasBeard"),
        ({"_cls": "male", "name": "x", "hasBeard": True, "maiden_name": "yy"}, "maiden_name"),
        ({"_cls": "female", "name": "x", "hasBeard": True}, "hasBeard"),
        ({"_cls": "female", "name": "x", "maiden_name": "y"}, "maiden_name"),
        ({"_cls": "female", "maiden_name": "yy"}, "name"),
        ({"name": "x"}, "_cls"),
        *(
            ({"_cls": wrong, "name": "x"}, "_cls")
            for wrong in ("cat", "Male", "", None, 1, True, [], ["male"], {}, {"$ne": 1})
        ),
    ],
)
def test_a_body_that_fits_no_kind_is_refused(api: DeclaredApi, body: Document, name: str) -> None:
    errors = assert_problem(api.post("/people/", body), 400, "body.invalid")["field-errors"]
    assert list(errors) == [name]
    assert list(
        assert_problem(api.post("/people/", [body]), 400, "body.invalid")["field-errors"]["0"]
    ) == [name]
    assert snapshot(api.database) == {}


def test_without_a_discriminator_the_default_is_meant(declared_api: MakeDeclared) -> None:
    api = declared_api(**views(PeopleWithDefault))
    shown = api.create("/people/", {"name": "Ann", "maiden_name": "Lee"})
    assert shown["title"] == "Ms Ann"
    assert api.database.people.find_one()["_cls"] == "female"
    result = api.post("/people/", {"name": "Bob", "hasBeard": True})
    assert_problem(result, 400, "body.invalid", naming="hasBeard")
    assert api.create("/people/", {"_cls": "male", "name": "Bob", "hasBeard": True})["hasBeard"]
    for wrong in ("cat", None, 1):
        result = api.post("/people/", {"_cls": wrong, "name": "Ann"})
        assert_problem(result, 400, "body.invalid", naming="_cls")


@pytest.mark.parametrize("body", [[], "text", 5, None, True])
def test_a_body_that_is_no_object_is_of_no_kind(api: DeclaredApi, body: Any) -> None:
    assert api.post("/people/", body).status_code == 400
    person = put_person(api, "Bob", "male", b=True)
    for method in ("PATCH", "PUT"):
        assert api(method, f"/people/{person['_id']}", body).status_code == 400
        assert api(method, "/people/?name=Bob", body).status_code == 400
    assert snapshot(api.database) == {"people": [person]}


# -------------------------------------------------------------------------------------- changing

UPDATES = [("PATCH", "people"), ("PUT", "updated"), ("PUT", "people")]


@pytest.mark.parametrize(("method", "place"), UPDATES)
def test_an_update_is_validated_by_the_kind_that_is_stored(
    declared_api: MakeDeclared, method: str, place: str
) -> None:
    api = declared_api(**views())
    bob = put_person(api, "Bob", "male", b=True, unknown=1)
    ann = put_person(api, "Ann", "female", maiden_name="Lee")
    result = api(method, f"/{place}/{bob['_id']}", {"name": "B", "hasBeard": False})
    assert result.json == {"id": str(bob["_id"]), "name": "B", "hasBeard": False}, result.text
    assert api.database.people.find_one({"_id": bob["_id"]}) == {**bob, "name": "B", "b": False}
    for person, body, name in (
        (bob, {"name": "B", "hasBeard": True, "maiden_name": "yy"}, "maiden_name"),
        (ann, {"name": "A", "hasBeard": True}, "hasBeard"),
        (ann, {"name": "A", "maiden_name": "y"}, "maiden_name"),
    ):
        result = api(method, f"/{place}/{person['_id']}", body)
        assert list(assert_problem(result, 400, "body.invalid")["field-errors"]) == [name]
    result = api(method, f"/{place}/{ann['_id']}", {"name": "A", "title": "other"})
    assert_problem(result, 403, "policy.field", naming="title")
    result = api.post("/people/", {"_cls": "female", "name": "x", "title": "y"})
    assert_problem(result, 403, "policy.field", naming="title")
    assert api.database.people.find_one({"_id": ann["_id"]}) == ann


@pytest.mark.parametrize(("method", "place"), UPDATES)
@pytest.mark.parametrize("default", [False, True])
def test_the_discriminator_cannot_be_changed(
    declared_api: MakeDeclared, method: str, place: str, default: bool
) -> None:
    api = declared_api(**views(PeopleWithDefault if default else People))
    bob = put_person(api, "Bob", "male", b=True)
    url = f"/{place}/{bob['_id']}"
    for other in ("female", "cat", None, "", 1, ["male"], {}):
        result = api(method, url, {"_cls": other, "name": "B", "hasBeard": True})
        errors = assert_problem(result, 400, "body.invalid")["field-errors"]
        assert list(errors) == ["_cls"]
    assert snapshot(api.database) == {"people": [bob]}
    result = api(method, url, {"_cls": "male", "name": "B", "hasBeard": True})
    assert result.status_code == 200, result.text
    assert api.database.people.find_one() == {**bob, "name": "B"}


def test_a_replacement_keeps_the_kind(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    bob = put_person(api, "Bob", "male", b=True, age=5, unknown=1)
    url = f"/people/{bob['_id']}"
    result = api.put(url, {"name": "B"})
    assert_problem(result, 400, "body.invalid", naming="hasBeard")
    assert api.put(url, {"name": "B", "hasBeard": False}).status_code == 200
    stored = api.database.people.find_one()
    # What the schema knows and the body lacks is gone; the discriminator and the rest stay.
    assert stored == {"_id": bob["_id"], "_cls": "male", "name": "B", "b": False, "unknown": 1}
    assert list(api.listed("/people/")[0]) == ["id", "name", "hasBeard"]


@pytest.mark.parametrize("name", ["_cls", "is_a"])
def test_a_replacement_that_does_not_name_the_kind_keeps_it(
    declared_api: MakeDeclared, name: str
) -> None:
    """Though the schema has a field for it, which the body could take away."""

    class NamingSchema(PersonSchema):
        kind = ma.String(attribute="_cls", data_key=name)

    child = type("Child", (Resource,), {"schema": NamingSchema, "rename_fields": {"kind": name}})
    says = {"child_document_resources": {"male": child}}
    api = declared_api(**views(type("Naming", (Resource,), {**SAYS, **says})))
    bob = put_person(api, "Bob", "male", age=5)
    url = f"/people/{bob['_id']}"
    for body in ({"name": "B"}, {"name": "B", name: "male"}):
        assert api.put(url, body).json == {"id": str(bob["_id"]), "name": "B", name: "male"}
        assert api.database.people.find_one() == {"_id": bob["_id"], "_cls": "male", "name": "B"}


def test_what_was_read_can_be_sent_back(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    people = [
        put_person(api, "Bob", "male", b=True, age=1),
        put_person(api, "Ann", "female", maiden_name="Lee"),
    ]
    before = snapshot(api.database)
    for (method, place), person in itertools.product(UPDATES, people):
        url = f"/{place}/{person['_id']}"
        result = api(method, url, api.get(url).json)
        assert result.status_code == 200, result.text
        assert snapshot(api.database) == before


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_bulk_update_is_validated_by_every_kind_that_it_meets(
    declared_api: MakeDeclared, method: str
) -> None:
    api = declared_api(**views())
    bob = put_person(api, "Bob", "male", b=True)
    ann = put_person(api, "Ann", "female")
    tom = put_person(api, "Tom", "male", b=True)
    assert api(method, "/people/?name__startswith=", {"age": 3}).json == {"count": 3}
    assert api.database.people.count_documents({"age": 3}) == 3
    assert api(method, "/people/?hasBeard=true", {"hasBeard": False}).json == {"count": 2}
    before = snapshot(api.database)
    for body, name in (({"hasBeard": True}, "hasBeard"), ({"_cls": "male"}, "_cls")):
        result = api(method, "/people/?age__gte=3", body)
        assert_problem(result, 400, "body.invalid", naming=name)
        assert snapshot(api.database) == before
    # Of one kind only, its own discriminator may be sent along.
    assert api(method, "/people/?hasBeard=false", {"_cls": "male", "age": 4}).json == {"count": 2}
    stored = {one["name"]: one for one in api.database.people.find()}
    assert stored["Ann"] == {**ann, "age": 3}
    for person in (bob, tom):
        assert stored[person["name"]] == {**person, "b": False, "age": 4}


def test_a_bulk_delete_takes_all_kinds(declared_api: MakeDeclared) -> None:
    api = declared_api(**views())
    put_person(api, "Bob", "male", b=True)
    put_person(api, "Ann", "female")
    assert api.delete("/people/?name__startswith=").json == {"count": 2}
    assert api.database.people.count_documents({}) == 0


# ------------------------------------------------------- the discriminator as a field of the schema


class KindSchema(PersonSchema):
    kind = ma.String(attribute="_cls", data_key="type", validate=validate.OneOf(["male", "female"]))


class MaleKindSchema(KindSchema):
    beard = ma.Boolean()


class MaleKind(Resource):
    schema = MaleKindSchema


class FemaleKind(Resource):
    schema = KindSchema


class Kinds(Resource):
    collection = "people"
    schema = KindSchema
    child_document_resources = {"male": MaleKind, "female": FemaleKind}
    type_field = "_cls"
    filters = {"type": [ops.Exact, ops.In], "name": [ops.Exact]}
    allowed_ordering = ["type"]


class RenamedMale(MaleKind):
    rename_fields = {"kind": "is_a"}


class RenamedFemale(FemaleKind):
    rename_fields = {"kind": "is_a"}


class RenamedKinds(Resource):
    collection = "people"
    child_document_resources = {"male": RenamedMale, "female": RenamedFemale}
    type_field = "_cls"
    filters = {"is_a": [ops.Exact, ops.In], "name": [ops.Exact]}
    allowed_ordering = ["is_a"]


@pytest.mark.parametrize(("resource", "name"), [(Kinds, "type"), (RenamedKinds, "is_a")])
def test_the_discriminator_may_be_a_field_with_a_name_of_its_own(
    declared_api: MakeDeclared, resource: type[Resource], name: str
) -> None:
    api = declared_api(**views(resource))
    bob = api.create("/people/", {name: "male", "name": "Bob", "beard": True})
    assert bob == {"id": bob["id"], "name": "Bob", name: "male", "beard": True}
    ann = api.create("/people/", {name: "female", "name": "Ann"})
    stored = {one["name"]: one["_cls"] for one in api.database.people.find()}
    assert stored == {"Bob": "male", "Ann": "female"}
    assert api.listed("/people/") == [bob, ann]
    assert api.listed(f"/people/?{name}=female") == [ann]
    assert api.listed(f"/people/?{name}__in=female,male&_order_by={name}") == [ann, bob]
    for place, method in (("people", "PATCH"), ("updated", "PUT"), ("people", "PUT")):
        url = f"/{place}/{bob['id']}"
        assert api(method, url, bob).json == bob
        result = api(method, url, {**bob, name: "female"})
        assert list(assert_problem(result, 400, "body.invalid")["field-errors"]) == [name]
    for body in ({"name": "x"}, {"name": "x", name: "cat"}, {"name": "x", "_cls": "male"}):
        result = api.post("/people/", body)
        assert name in assert_problem(result, 400, "body.invalid")["field-errors"]
    assert api.database.people.find_one({"name": "Bob"})["_cls"] == "male"


def test_a_discriminator_that_is_dump_only_still_decides(declared_api: MakeDeclared) -> None:
    class ShownSchema(PersonSchema):
        kind = ma.String(attribute="_cls", dump_only=True)

    child = type("Child", (Resource,), {"schema": ShownSchema})
    other = type("Other", (Resource,), {"schema": ShownSchema})
    resource = type(
        "Shown",
        (Resource,),
        {
            "collection": "people",
            "child_document_resources": {"a": child, "b": other},
            "type_field": "_cls",
        },
    )
    api = declared_api(**views(resource))
    created = api.create("/people/", {"kind": "a", "name": "x"})
    assert created["kind"] == "a"
    assert api.database.people.find_one()["_cls"] == "a"
    url = f"/people/{created['id']}"
    assert api.patch(url, created).status_code == 200
    assert_problem(api.patch(url, {"kind": "b"}), 400, "body.invalid", naming="kind")
    assert api.put(url, created).status_code == 200
    assert api.database.people.find_one()["_cls"] == "a"


# ------------------------------------------------------------ children that derive from the parent


class Animals(Resource):
    collection = "animals"
    schema = KindSchema
    type_field = "_cls"
    child_document_resources = {"cat": lambda: Cats, "dog": lambda: Dogs}
    default_child_resource_document = "dog"
    filters = {"name": [ops.Exact]}
    rename_fields = {"name": "called"}

    def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
        return query.where({"hidden": {"$ne": True}})


class CatSchema(PersonSchema):
    lives = ma.Integer(required=True)


class Cats(Animals):
    schema = CatSchema
    filters = {}

    def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
        return super().has_read_permission(req, query).where({"lives": {"$gt": 0}})


class Dogs(Animals):
    schema = PersonSchema
    filters = {}


Animals.filters = {"called": [ops.Exact, ops.Startswith]}


def put_animal(api: DeclaredApi, name: str, **values: Any) -> Document:
    animal = {"_id": ObjectId(), "name": name, **values}
    api.database.animals.insert_one(animal)
    return animal


def test_children_may_derive_from_their_parent(declared_api: MakeDeclared) -> None:
    api = declared_api(**views(Animals))
    put_animal(api, "Tom", _cls="cat", lives=9)
    put_animal(api, "dead", _cls="cat", lives=0)
    put_animal(api, "hidden cat", _cls="cat", lives=9, hidden=True)
    put_animal(api, "Rex", _cls="dog")
    put_animal(api, "hidden dog", _cls="dog", hidden=True)
    put_animal(api, "stray")
    shown = [{key: one[key] for key in one if key != "id"} for one in api.listed("/people/")]
    assert shown == [{"called": "Tom", "lives": 9}, {"called": "Rex"}, {"called": "stray"}]
    assert [one["called"] for one in api.listed("/people/?called__startswith=R")] == ["Rex"]
    created = api.create("/people/", {"_cls": "cat", "called": "Kit", "lives": 1})
    assert created["lives"] == 1
    assert_problem(api.patch(f"/people/{created['id']}", {"lives": "x"}), 400, "body.invalid")
    assert api.patch(f"/people/{created['id']}", {"lives": 0}).status_code == 200
    assert_problem(api.get(f"/people/{created['id']}"), 404, "document.not_found")


def test_a_child_may_be_served_by_itself(declared_api: MakeDeclared) -> None:
    """As any resource, without a discriminator; it has a collection by its parent."""

    class OnlyMales(Male):
        collection = "people"

        def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
            return query.where({"_cls": "male"})

    view = type("V", (ResourceView,), {"resource": OnlyMales, "methods": methods.ALL})
    api = declared_api(males=view, **views())
    put_person(api, "Bob", "male", b=True)
    put_person(api, "Ann", "female")
    assert [one["name"] for one in api.listed("/males/")] == ["Bob"]
    assert [one["name"] for one in api.listed("/people/")] == ["Bob", "Ann"]


# ------------------------------------------------------------------ kinds that nobody knows


def test_a_stored_kind_that_is_unknown_is_shown_by_the_parent_if_it_can(
    declared_api: MakeDeclared,
) -> None:
    api = declared_api(**views(Kinds))
    cat = put_person(api, "Tom", "cat", beard=True)
    none = put_person(api, "Nobody")
    assert api.listed("/people/") == [
        {"id": str(cat["_id"]), "name": "Tom", "type": "cat"},
        {"id": str(none["_id"]), "name": "Nobody"},
    ]
    assert api.get(f"/people/{cat['_id']}").json["name"] == "Tom"
    result = api.patch(f"/people/{cat['_id']}", {"type": "male"})
    assert_problem(result, 400, "body.invalid", naming="type")
    assert api.delete(f"/people/{cat['_id']}").status_code == 204


def test_a_stored_kind_that_is_unknown_is_the_default(declared_api: MakeDeclared) -> None:
    api = declared_api(**views(PeopleWithDefault))
    cat = put_person(api, "Tom", "cat", maiden_name="Kit")
    none = put_person(api, "Nobody")
    assert [one["title"] for one in api.listed("/people/")] == ["Ms Tom", "Ms Nobody"]
    assert api.patch(f"/people/{cat['_id']}", {"maiden_name": "Kat"}).status_code == 200
    assert api.database.people.find_one({"name": "Tom"})["_cls"] == "cat"
    assert api.patch(f"/people/{none['_id']}", {"maiden_name": "Any"}).status_code == 200


def test_a_stored_kind_that_nobody_can_show_may_be_left_out(declared_api: MakeDeclared) -> None:
    seen: list[Document] = []

    class Lenient(People):
        child_document_resources = {"male": Male, "female": Female}

        def handle_serialization_error(
            self, error: Exception, document: Document
        ) -> dict[str, Any] | None:
            assert isinstance(error, Exception)
            seen.append(document)
            return None

    api = declared_api(**views(Lenient))
    cat = put_person(api, "Tom", "cat")
    put_person(api, "Bob", "male", b=True)
    assert [one["name"] for one in api.listed("/people/")] == ["Bob"]
    assert seen == [cat]
    assert_problem(api.get(f"/people/{cat['_id']}"), 404, "document.not_found")


def test_a_stored_kind_that_nobody_can_show_is_no_silent_loss(api: DeclaredApi) -> None:
    """It breaks as any serialization error does, by default."""
    put_person(api, "Tom", "cat")
    put_person(api, "Bob", "male", b=True)
    assert api.get("/people/").status_code == 500


@pytest.mark.parametrize("kind", ["cat", None, 1, ["male"], {"a": 1}, ...])
@pytest.mark.parametrize(("method", "place"), UPDATES)
def test_a_stored_kind_that_nobody_knows_cannot_be_changed(
    api: DeclaredApi, method: str, place: str, kind: Any
) -> None:
    person = put_person(api, "Tom", kind)
    result = api(method, f"/{place}/{person['_id']}", {"name": "x"})
    assert result.status_code in {400, 404, 409, 422, 500}
    assert snapshot(api.database) == {"people": [person]}
    assert api.delete(f"/people/{person['_id']}").status_code == 204


@pytest.mark.parametrize("kind", [None, 1, ["male"], {"a": 1}])
def test_a_rule_of_a_kind_holds_whatever_else_is_stored(
    make_declared: MakeDeclared, kind: Any
) -> None:
    """What counts as the default kind has the default kind's rule."""

    class Ruled(Female):
        def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
            return query.where({"open": True})

    resource = type(
        "RuledPeople",
        (People,),
        {
            "child_document_resources": {"male": Male, "female": Ruled},
            "default_child_resource_document": "female",
        },
    )
    api = make_declared(**views(resource))
    put_person(api, "shown", kind, open=True)
    hidden = put_person(api, "hidden", kind)
    assert [one["name"] for one in api.listed("/people/")] == ["shown"]
    assert_problem(api.get(f"/people/{hidden['_id']}"), 404, "document.not_found")


# --------------------------------------------------------------------------- relations of kinds


class ArticleSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    title = ma.String()
    author = fields.Reference("people", attribute="by")


class NoteSchema(ArticleSchema):
    text = ma.String()


class Articles(Resource):
    schema = ArticleSchema
    fields = ["title"]


class Notes(Resource):
    schema = NoteSchema
    fields = ["text"]


class Texts(Resource):
    collection = "articles"
    child_document_resources = {"article": Articles, "note": Notes}
    type_field = "kind"


def test_a_reverse_relation_may_lead_to_several_kinds(declared_api: MakeDeclared) -> None:
    """The reference is a field of the kinds, as a filter or an ordering may be."""
    authors = type(
        "Authors",
        (Resource,),
        {
            "collection": "people",
            "schema": PersonSchema,
            "fields": ["name", "texts"],
            "related_resources": {"texts": Texts},
            "related_resources_hints": {"texts": "author"},
        },
    )
    api = declared_api(**views(authors))
    ann = put_person(api, "Ann")
    api.database.articles.insert_many(
        [
            {"kind": "note", "by": ann["_id"], "text": "n", "title": "x"},
            {"kind": "article", "by": ann["_id"], "title": "a"},
        ]
    )
    assert api.listed("/people/") == [{"name": "Ann", "texts": [{"text": "n"}, {"title": "a"}]}]


def test_a_kind_may_have_a_reverse_relation(declared_api: MakeDeclared) -> None:
    writers = type(
        "Writers",
        (Resource,),
        {
            "schema": PersonSchema,
            "fields": ["name", "texts"],
            "related_resources": {
                "texts": type("Own", (Articles,), {"collection": "articles"}),
            },
            "related_resources_hints": {"texts": "author"},
        },
    )
    resource = type(
        "People",
        (Resource,),
        {
            "collection": "people",
            "child_document_resources": {"male": Male, "female": writers},
            "type_field": "_cls",
        },
    )
    api = declared_api(**views(resource))
    ann = put_person(api, "Ann", "female")
    bob = put_person(api, "Bob", "male", b=True)
    api.database.articles.insert_many(
        [{"by": ann["_id"], "title": "a"}, {"by": bob["_id"], "title": "b"}]
    )
    shown_ann, shown_bob = api.listed("/people/")
    assert shown_ann == {"name": "Ann", "texts": [{"title": "a"}]}
    assert "texts" not in shown_bob


def test_an_embedded_kind_cannot_have_a_read_permission() -> None:
    """It could hide nothing; a rule that is never asked isn't declared."""

    class Ruled(Articles):
        def has_read_permission(self, req: falcon.Request, query: Query) -> Query:
            return query.none()

    class PageSchema(Schema):
        text = ma.Nested(ArticleSchema)

    block = type(
        "Block",
        (Resource,),
        {
            "schema": ArticleSchema,
            "child_document_resources": {"ruled": Ruled},
            "type_field": "kind",
        },
    )
    says = {"collection": "pages", "schema": PageSchema, "related_resources": {"text": block}}
    with pytest.raises(ConfigurationError, match="Ruled"):
        type("Pages", (Resource,), says)


class CodeSchema(PersonSchema):
    code = ma.String()


class HiddenCodeSchema(PersonSchema):
    code = ma.String(load_only=True)


@pytest.mark.parametrize(
    "says", [{"filters": {"code": [ops.Startswith]}}, {"allowed_ordering": ["code"]}]
)
@pytest.mark.parametrize("first", [True, False])
def test_what_one_kind_hides_is_found_and_ordered_by_in_none(says: Document, first: bool) -> None:
    shown = type("Shown", (Resource,), {"schema": CodeSchema})
    hidden = type("Hidden", (Resource,), {"schema": HiddenCodeSchema})
    kinds = {"a": hidden, "b": shown} if first else {"a": shown, "b": hidden}
    with pytest.raises(ConfigurationError, match="code"):
        type("Codes", (Resource,), {**SAYS, "child_document_resources": kinds, **says})


# --------------------------------------------------------------------------- embedded documents


class TextSchema(Schema):
    text = ma.String(required=True, attribute="t")


class ImageSchema(Schema):
    kind = ma.String()
    source = ma.Url(required=True)


class Text(Resource):
    schema = TextSchema


class Image(Resource):
    schema = ImageSchema
    rename_fields = {"source": "src"}


class Blocks(Resource):
    child_document_resources = {"text": Text, "image": Image}
    type_field = "kind"


class DocumentSchema(Schema):
    id = fields.ObjectId(attribute="_id", dump_only=True)
    top = ma.Nested(Schema, allow_none=True)
    blocks = ma.List(ma.Nested(Schema))
    many = ma.Nested(Schema, many=True)


class Documents(Resource):
    collection = "people"
    schema = DocumentSchema
    related_resources = {"top": Blocks, "blocks": Blocks, "many": Blocks}


#: Embedded documents in the places where they may stand.
PLACES: list[Callable[[Any], Document]] = [
    lambda block: {"top": block},
    lambda block: {"blocks": [{"kind": "text", "text": "a"}, block]},
    lambda block: {"many": [{"kind": "text", "text": "a"}, block]},
]


@pytest.mark.parametrize("place", PLACES)
def test_an_embedded_document_is_stored_by_the_schema_of_its_kind(
    declared_api: MakeDeclared, place: Callable[[Any], Document]
) -> None:
    api = declared_api(**views(Documents))
    block = {"kind": "image", "src": "https://example.org/a.png"}
    stored = {"kind": "image", "source": "https://example.org/a.png"}
    for body in (place(block), place({"kind": "text", "text": "b"})):
        created = api.create("/people/", body)
        found = api.database.people.find_one({"_id": ObjectId(created["id"])}, {"_id": 0})
        [(name, value)] = found.items()
        last = value if name == "top" else value[-1]
        assert last == (stored if body == place(block) else {"kind": "text", "t": "b"})
        assert api.get(f"/people/{created['id']}").json == created


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"kind": "image", "text": "a"}, "src"),
        ({"kind": "image", "src": "a"}, "src"),
        ({"kind": "image", "source": "https://example.org/"}, "src"),
        ({"kind": "text", "text": "a", "more": 1}, "more"),
        ({"kind": "video"}, "kind"),
        ({"kind": None}, "kind"),
        ({"kind": ["text"], "text": "a"}, "kind"),
        ({"kind": {"$ne": 1}, "text": "a"}, "kind"),
        ({"text": "a"}, "kind"),
        ({}, "kind"),
        (5, "Invalid type"),
        ("text", "Invalid type"),
        ([], "Invalid type"),
    ],
)
@pytest.mark.parametrize("place", PLACES)
def test_an_embedded_document_that_fits_no_kind_is_refused(
    make_declared: MakeDeclared, place: Callable[[Any], Document], wrong: Any, name: str
) -> None:
    api = make_declared(**views(Documents))
    stored = {"_id": ObjectId(), "blocks": []}
    api.database.people.insert_one(stored)
    [(field, _)] = place(wrong).items()
    for result in (
        api.post("/people/", place(wrong)),
        api.put(f"/people/{stored['_id']}", place(wrong)),
        api.patch(f"/people/{stored['_id']}", place(wrong)),
    ):
        assert field in assert_problem(result, 400, "body.invalid", naming=name)["field-errors"]
        assert snapshot(api.database) == {"people": [stored]}


class OpenSchema(Schema):
    class Meta:
        unknown = INCLUDE

    approved = ma.Boolean(dump_only=True)


@pytest.mark.parametrize("place", PLACES)
def test_a_kind_that_takes_unknown_fields_takes_none_that_cannot_be_written(
    make_declared: MakeDeclared, place: Callable[[Any], Document]
) -> None:
    open_text = type("OpenText", (Resource,), {"schema": OpenSchema})
    kinds = {"child_document_resources": {"text": open_text}, "type_field": "kind"}
    blocks = type("OpenBlocks", (Resource,), kinds)
    related = dict.fromkeys(["top", "blocks", "many"], blocks)
    api = make_declared(**views(type("Open", (Documents,), {"related_resources": related})))
    api.create("/people/", place({"kind": "text", "more": 1}))
    before = snapshot(api.database)
    result = api.post("/people/", place({"kind": "text", "approved": True}))
    assert_problem(result, 400, "body.invalid", naming="approved")
    assert snapshot(api.database) == before


# ------------------------------------------------------------------------------------ declaration


@pytest.mark.parametrize(
    ("says", "named"),
    [
        ({"type_field": None}, "type_field"),
        ({"default_child_resource_document": "cat"}, "default_child_resource_document"),
        ({"child_document_resources": {"male": object}}, "child_document_resources"),
        ({"child_document_resources": {"male": MaleSchema}}, "child_document_resources"),
        (
            {"child_document_resources": {"male": type("Bare", (Resource,), {})}},
            "child_document_resources",
        ),
        (
            {
                "child_document_resources": {
                    "male": type(
                        "Elsewhere", (Resource,), {"schema": MaleSchema, "collection": "others"}
                    )
                }
            },
            "child_document_resources",
        ),
        ({"filters": {"nope": [ops.Exact]}}, "filters"),
        ({"allowed_ordering": ["nope"]}, "allowed_ordering"),
    ],
)
def test_what_is_declared_wrongly_is_refused_at_once(says: Document, named: str) -> None:
    right = {
        "collection": "people",
        "child_document_resources": {"male": Male, "female": Female},
        "type_field": "_cls",
    }
    with pytest.raises(ConfigurationError, match=f"Wrong.{named}"):
        type("Wrong", (Resource,), {**right, **says})


def test_a_default_without_kinds_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="default_child_resource_document"):
        type(
            "Wrong",
            (Resource,),
            {
                "collection": "people",
                "schema": PersonSchema,
                "default_child_resource_document": "male",
            },
        )
