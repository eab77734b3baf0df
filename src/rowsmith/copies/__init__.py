"""COPY of rows into a table: what is written, apart from the conversation with the server."""
