CREATE OR REPLACE FUNCTION _drawn_position()
RETURNS bigint
LANGUAGE sql
VOLATILE
PARALLEL UNSAFE
RETURN coalesce(pg_sequence_last_value('global_position_seq'), 0);

COMMENT ON FUNCTION _drawn_position() IS
$$Internal: return the last global position that the sequence gave out; 0 if it gave none. The
sequence itself says NULL then: a writer that computes with NULL takes no in-flight mark. Inlined
into its callers, hence without a search_path of its own.$$;
