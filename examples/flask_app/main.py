"""Notes with Flask: run `gunicorn flask_app.main:app` in `examples`, with DATABASE_URL in the environment."""

import psycopg
from flask import Flask, abort, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel

from rowsmith import transaction
from rowsmith.flask import RequestTransactions, health_blueprint

from .queries import queries

app = Flask(__name__)
app.register_blueprint(health_blueprint())
transactions = RequestTransactions(app)


class NewNote(BaseModel):
    body: str
    tags: list[str] = []


@app.post("/notes")
def add_note() -> ResponseReturnValue:
    """Store a note. A tag that is refused is left out: each is stored in a savepoint of the request's transaction."""
    new = NewNote.model_validate_json(request.get_data())
    conn = transactions.conn
    note = queries.add_note(conn, body=new.body)
    for tag in new.tags:
        try:
            with transaction():
                queries.add_tag(conn, note_id=note.id, name=tag)
        except psycopg.IntegrityError:
            continue
    return note.model_dump(mode="json"), 201


@app.get("/notes/<int:note_id>")
def get_note(note_id: int) -> ResponseReturnValue:
    """Find a note."""
    note = queries.get_note(transactions.conn, note_id=note_id)
    if note is None:
        abort(404)
    return note.model_dump(mode="json")
