CREATE OR REPLACE FUNCTION _drop_tag_rows(
  tag_keys bigint[],
  global_positions bigint[]
)
RETURNS void
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  -- LIMIT keeps this one look-up for each row, whatever the statistics say. A join would walk along
  -- the table if a vacuum found it empty.
  DELETE FROM message_tags AS d
  WHERE d.ctid = ANY (
    ARRAY(
      SELECT t.ctid
      FROM unnest(tag_keys, global_positions) AS k (tag_key, global_position)
      CROSS JOIN LATERAL (
        SELECT i.ctid
        FROM message_tags AS i
        -- As in _message_at.
        WHERE (i.tag_key, i.global_position) >= (k.tag_key, k.global_position)
          AND (i.tag_key, i.global_position) <= (k.tag_key, k.global_position)
        ORDER BY i.tag_key, i.global_position
        LIMIT 1
      ) AS t
    )
  );
END
$$;

COMMENT ON FUNCTION _drop_tag_rows(bigint[], bigint[]) IS
$$Internal: delete rows of message_tags, given by their keys and positions in two arrays.$$;
