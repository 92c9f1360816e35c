CREATE OR REPLACE FUNCTION read_matching(
  metadata_filter jsonb DEFAULT NULL,
  after_position bigint DEFAULT 0,
  max_count bigint DEFAULT 1000,
  types text[] DEFAULT NULL,
  categories text[] DEFAULT NULL,
  stream_pattern text DEFAULT NULL,
  partition bigint DEFAULT NULL,
  partitions bigint DEFAULT NULL,
  partition_by text DEFAULT 'stream',
  up_to_position bigint DEFAULT NULL,
  max_looked bigint DEFAULT 10000,
  tags_filter text[] DEFAULT NULL
)
RETURNS TABLE (
  message_id uuid,
  stream text,
  version bigint,
  global_position bigint,
  type text,
  data jsonb,
  metadata jsonb,
  added_at timestamptz,
  reached_position bigint,
  looked_position bigint,
  more boolean,
  tags text[]
)
LANGUAGE plpgsql
VOLATILE
PARALLEL UNSAFE
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  last_position bigint;
  from_position bigint := after_position;
  to_position bigint;
  found_count bigint := bigint '0';
  more_count bigint;
  tag text;
BEGIN
  IF (after_position >= 0) IS NOT TRUE THEN
    PERFORM _refuse_value('after_position', 'must be 0 or more', to_jsonb(after_position));
  ELSIF (max_count >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_count', 'must be 1 or more', to_jsonb(max_count));
  ELSIF (max_looked >= 1) IS NOT TRUE THEN
    PERFORM _refuse_value('max_looked', 'must be 1 or more', to_jsonb(max_looked));
  ELSIF jsonb_typeof(metadata_filter) <> 'object' THEN
    PERFORM _refuse_value(
      'metadata_filter', 'must be a JSON object, or NULL for all', metadata_filter
    );
  END IF;
  PERFORM _refuse_filter(partition, partitions, partition_by, stream_pattern);
  IF tags_filter IS NOT NULL THEN
    tags_filter := _set_of_names('tags_filter', tags_filter);
    tag := _rarest_tag(tags_filter, after_position);
  END IF;

  -- A statement of its own, as in read_page.
  last_position := (horizon()).safe_position;
  PERFORM _refuse_isolation();  -- afterwards, as in read_page
  IF after_position > last_position THEN
    PERFORM _refuse_position(after_position);
  END IF;
  last_position := greatest(least(last_position, up_to_position), after_position);
  -- First look at max_looked positions: they hold no more messages than that, which need not be
  -- counted. Count messages only if nothing is found there: the messages of a category can be far
  -- apart, and so can the positions that have a message.
  to_position := CASE
    WHEN last_position - after_position > max_looked THEN after_position + max_looked
    ELSE last_position
  END;
  LOOP
    IF tag IS NOT NULL THEN
      RETURN QUERY
      SELECT
        r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
        r.added_at, NULL::bigint, NULL::bigint, NULL::boolean, r.tags
      FROM _range_of_tags(
        tag, tags_filter, categories, from_position, to_position, max_count - found_count, types,
        stream_pattern, partition, partitions, partition_by, metadata_filter
      ) AS r;
    ELSIF categories IS NULL THEN
      RETURN QUERY
      SELECT
        r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
        r.added_at, NULL::bigint, NULL::bigint, NULL::boolean, r.tags
      FROM _range_of_all(
        from_position, to_position, max_count, types, stream_pattern, partition, partitions,
        partition_by, metadata_filter
      ) AS r;
    ELSIF cardinality(categories) = 1 AND categories[1] IS NOT NULL THEN
      RETURN QUERY
      SELECT
        r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
        r.added_at, NULL::bigint, NULL::bigint, NULL::boolean, r.tags
      FROM _range_of_category(
        categories[1], from_position, to_position, max_count, types, stream_pattern, partition,
        partitions, partition_by, metadata_filter
      ) AS r;
    ELSE
      RETURN QUERY
      SELECT
        r.message_id, r.stream, r.version, r.global_position, r.type, r.data, r.metadata,
        r.added_at, NULL::bigint, NULL::bigint, NULL::boolean, r.tags
      FROM _range_of_several(
        categories, from_position, to_position, max_count, types, stream_pattern, partition,
        partitions, partition_by, metadata_filter
      ) AS r;
    END IF;
    GET DIAGNOSTICS more_count = ROW_COUNT;
    found_count := found_count + more_count;
    EXIT WHEN found_count = max_count OR to_position = last_position
      OR from_position > after_position
      -- The next messages of a tag are not looked for among others: so fill the page.
      OR found_count > 0 AND tag IS NULL;
    from_position := to_position;
    to_position := _window_of(categories, from_position, last_position, max_looked, tag);
  END LOOP;

  IF found_count < max_count THEN
    reached_position := greatest(_last_visible(to_position), after_position);
    looked_position := to_position;
    more := to_position < last_position;
    RETURN NEXT;
  END IF;
END
$$;

COMMENT ON FUNCTION read_matching(
  jsonb, bigint, bigint, text[], text[], text, bigint, bigint, text, bigint, bigint, text[]
) IS
$$Read as read_page, only messages whose metadata contains metadata_filter, a JSON object, as
jsonb's operator @> says, and that have all of tags_filter, 1 to 32 names; NULL leaves either out. A
message without metadata contains nothing. A call looks at no more than max_looked positions or, if
it finds nothing there, at so many messages more: so it does not read the whole store for a rare
match. With tags it looks only at messages of the rarest one, and fills the page with so many
more. If there are fewer than max_count messages, a last row without a
message tells, besides the two positions of read_page, whether there is more to look at: then call
again after reached_position. Otherwise everything up to the safe position was looked at, or up to
up_to_position. Errors as read_all.$$;
