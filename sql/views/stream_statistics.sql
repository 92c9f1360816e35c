CREATE OR REPLACE VIEW stream_statistics AS
SELECT
  s.stream,
  s.category,
  coalesce(l.version - f.version + 1, 0) AS messages,
  f.version AS first_version,
  coalesce(l.version, s.floor) AS version,
  f.global_position AS first_position,
  l.global_position AS last_position,
  f.added_at AS first_added_at,
  l.added_at AS last_added_at
FROM streams AS s
-- One look-up each: versions have no gaps, so nothing has to be counted.
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
) AS l ON true;

COMMENT ON VIEW stream_statistics IS
$$Each stream that was ever written to, with its first and last message: two look-ups a stream,
nothing is counted.$$;
COMMENT ON COLUMN stream_statistics.stream IS $$Name of the stream.$$;
COMMENT ON COLUMN stream_statistics.category IS $$Its category.$$;
COMMENT ON COLUMN stream_statistics.messages IS $$How many messages it has.$$;
COMMENT ON COLUMN stream_statistics.first_version IS
$$Version of its first message, 1 unless it was cut off; NULL if it has none.$$;
COMMENT ON COLUMN stream_statistics.version IS $$Its version: the highest ever written.$$;
COMMENT ON COLUMN stream_statistics.first_position IS $$Global position of its first message.$$;
COMMENT ON COLUMN stream_statistics.last_position IS $$Global position of its last message.$$;
COMMENT ON COLUMN stream_statistics.first_added_at IS $$When its first message was written.$$;
COMMENT ON COLUMN stream_statistics.last_added_at IS $$When its last message was written.$$;
