CREATE OR REPLACE FUNCTION payload_problem(
  value jsonb
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
RETURN CASE
  WHEN nested_too_deep(value) THEN 'must have at most 100 arrays and objects in one another'
  -- 64 KB are 32 times 2048 bytes.
  WHEN CASE
    WHEN pg_column_size(value) > 2048 OR pg_column_compression(value) IS NOT NULL
      THEN long_as_text(value)
    -- Of a constant the planner would make the text, whichever branch is taken, and fail.
    ELSE octet_length((CASE WHEN pg_column_size(value) <= 2048 THEN value END)::text) > 65536
  END THEN 'must not be that much longer as a text, as numbers such as 1e131071 are'
END;

COMMENT ON FUNCTION payload_problem(jsonb) IS
$$Internal: why no message can have this payload or metadata; NULL if it can. Readers get the text
of a value: PostgreSQL cannot make one of a gigabyte, and then no reader comes past the message. A
value is refused if its text is longer than 256 MB, or longer than 64 KB and than 32 times the
value.$$;
