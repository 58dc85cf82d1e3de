"""FastAPI and Beanie."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from beanie import Document, PydanticObjectId, init_beanie
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from pymongo import AsyncMongoClient


class Content(BaseModel):
    language: str
    words: int


class Post(Document):
    title: str
    author: PydanticObjectId
    rating: int
    views: int
    body: str
    is_published: bool
    tags: list[str]
    created: datetime
    batch: int
    content: Content

    class Settings:
        name = "posts"


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    client: Any = AsyncMongoClient(os.environ["MONGODB_URI"])
    await init_beanie(database=client[os.environ["DATABASE"]], document_models=[Post])
    yield
    await client.close()


def create_app() -> FastAPI:
    app = FastAPI(lifespan=connected)

    @app.get("/posts", response_model=list[Post])
    async def posts(limit: int = 100) -> Any:
        return await Post.find_all(limit=limit).to_list()

    @app.get("/posts/{id}", response_model=Post)
    async def post(id: PydanticObjectId) -> Any:
        found = await Post.get(id)
        if found is None:
            raise HTTPException(404)
        return found

    return app
