"""Notes with FastAPI: run `uvicorn fastapi_app.main:app` in `examples`, with DATABASE_URL in the environment."""

import psycopg
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from rowsmith import transaction
from rowsmith.fastapi import AsyncTransaction, Transaction, health_router, lifespan

from .queries import Note, queries

app = FastAPI(lifespan=lifespan())
app.include_router(health_router())


class NewNote(BaseModel):
    body: str
    tags: list[str] = []


@app.post("/notes", status_code=201)
def add_note(new: NewNote, conn: Transaction) -> Note:
    """Store a note. A tag that is refused is left out: each is stored in a savepoint of the request's transaction."""
    note = queries.add_note(conn, body=new.body)
    for tag in new.tags:
        try:
            with transaction():
                queries.add_tag(conn, note_id=note.id, name=tag)
        except psycopg.IntegrityError:
            continue
    return note


@app.get("/notes/{note_id}")
async def get_note(note_id: int, conn: AsyncTransaction) -> Note:
    """Find a note."""
    note = await queries.get_note(conn, note_id=note_id)
    if note is None:
        raise HTTPException(404)
    return note
