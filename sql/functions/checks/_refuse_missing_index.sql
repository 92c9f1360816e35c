CREATE OR REPLACE FUNCTION _refuse_missing_index()
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  RAISE EXCEPTION USING
    ERRCODE = 'object_not_in_prerequisite_state',
    MESSAGE = 'the index of correlation ids is missing, or not valid',
    DETAIL = json_build_object('index', 'messages_correlation_id_global_position_idx')::text,
    HINT = format(
      'The owner builds it beside the writers: DROP INDEX IF EXISTS %1$I.%2$I; '
        'CREATE INDEX CONCURRENTLY %2$I ON %1$I.messages '
        '(((metadata ->> ''correlation_id'') COLLATE "C"), global_position) '
        'WHERE octet_length(metadata ->> ''correlation_id'') <= 255;',
      current_schema(), 'messages_correlation_id_global_position_idx'
    );
END
$$;

COMMENT ON FUNCTION _refuse_missing_index() IS
$$Internal: raise 55000, with the statement that builds the index of correlation ids.$$;
