"""Serializer: documents as the JSON that a client gets."""

from __future__ import annotations

from falcorest import bson_json
from falcorest.query import Document


class Serializer:
    """Writes the documents of a resource without a schema: as they are stored."""

    def dump(self, document: Document) -> bytes:
        """Return one document as JSON."""
        return bson_json.dumps(document)

    def dump_many(self, documents: list[Document]) -> bytes:
        """Return documents as JSON with commas between them, without brackets."""
        return bson_json.dumps(documents)[1:-1]
