"""PostgreSQL's protocol over libpq: what is sent, how an answer is waited for, and until when."""
