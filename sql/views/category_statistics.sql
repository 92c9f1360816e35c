CREATE OR REPLACE VIEW category_statistics AS
SELECT
  s.category,
  count(*) AS streams,
  sum(coalesce(l.version - f.version + 1, 0))::bigint AS messages,
  min(f.global_position) AS first_position,
  max(l.global_position) AS last_position,
  min(f.added_at) AS first_added_at,
  max(l.added_at) AS last_added_at
FROM streams AS s
-- As in stream_statistics.
LEFT JOIN LATERAL (
  SELECT m.version, m.global_position, m.added_at
  FROM messages AS m
  WHERE m.stream_id = s.stream_id
  ORDER BY m.version
  LIMIT 1
) AS f ON true
LEFT JOIN LATERAL (
  SELECT m.version, m.global_position, m.added_at
  FROM messages AS m
  WHERE m.stream_id = s.stream_id
  ORDER BY m.version DESC
  LIMIT 1
) AS l ON true
GROUP BY s.category;

COMMENT ON VIEW category_statistics IS
$$Each category with its counts: two look-ups for each of its streams.$$;
COMMENT ON COLUMN category_statistics.category IS $$Name of the category.$$;
COMMENT ON COLUMN category_statistics.streams IS
$$How many streams of it were ever written to, also those that are empty now.$$;
COMMENT ON COLUMN category_statistics.messages IS $$How many messages they have.$$;
COMMENT ON COLUMN category_statistics.first_position IS $$Global position of the first one.$$;
COMMENT ON COLUMN category_statistics.last_position IS $$Global position of the last one.$$;
COMMENT ON COLUMN category_statistics.first_added_at IS
$$When the oldest of the streams' first messages was written.$$;
COMMENT ON COLUMN category_statistics.last_added_at IS
$$When the youngest of the streams' last messages was written.$$;
