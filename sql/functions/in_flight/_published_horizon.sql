CREATE OR REPLACE FUNCTION _published_horizon(
  OUT safe_position bigint,
  OUT published_at timestamptz,
  OUT publisher text
)
RETURNS record
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
BEGIN
  -- The newest version has the highest position. A look by a constant key, or along the table,
  -- would pass over all dead versions: 1 ms after 60,000 of them.
  SELECT h.safe_position, h.published_at, h.publisher INTO safe_position, published_at, publisher
  FROM store_horizon AS h
  ORDER BY h.safe_position DESC
  LIMIT 1;
END
$$;

COMMENT ON FUNCTION _published_horizon() IS
$$Internal: return the published horizon as the snapshot sees it; NULL if there is none.$$;
