"""The queries of others: PostgreSQL's regression scripts, and the cases of sqlc and SafeQL.

`make conformance` reads them from a checkout of these projects; there is no copy of them here.
"""
