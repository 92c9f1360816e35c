"""Other message stores in PostgreSQL, as sources of an import."""
