CREATE OR REPLACE FUNCTION _payload_problem(
  value jsonb
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
RETURN CASE
  -- Most metadata. Without this NULL gets to _long_as_text, a tenth of the time of a batch.
  WHEN value IS NULL THEN NULL
  WHEN _nested_too_deep(value) THEN 'must have at most 100 arrays and objects in one another'
  -- The text of most payloads is not made: that would take a quarter of the time of a write. 16 KB
  -- hold 1400 numbers, which are less than 200 MB.
  WHEN (pg_column_size(value) > 16384 OR pg_column_compression(value) IS NOT NULL)
    AND _long_as_text(value)
    THEN 'must not be that much longer as a text, as numbers such as 1e131071 are'
END;

COMMENT ON FUNCTION _payload_problem(jsonb) IS
$$Internal: why no message can have this payload or metadata; NULL if it can. Readers get the text
of a value: PostgreSQL cannot make one of a gigabyte, and then no reader comes past the message. A
value of more than 16 KB is refused if its text is longer than 256 MB, or longer than 64 KB and than
32 times the value.$$;
