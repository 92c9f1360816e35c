CREATE OR REPLACE VIEW message_store._category_messages AS
SELECT
  m.global_position,
  m.version - 1 AS "position",
  m.added_at AT TIME ZONE 'UTC' AS "time",
  s.stream AS stream_name,
  m.type,
  nullif(m.data, 'null') AS data,
  m.metadata,
  m.message_id AS id,
  m.category_key,
  s.category
FROM messages AS m
-- LIMIT keeps this one look-up for each message, whatever the planner thinks of the sizes.
CROSS JOIN LATERAL (
  SELECT i.stream, i.category FROM streams AS i WHERE i.stream_id = m.stream_id LIMIT 1
) AS s
WHERE message_store._reader_is_allowed();

COMMENT ON VIEW message_store._category_messages IS
$$Internal: shows message_store.messages with the keys of the index of categories.$$;
COMMENT ON COLUMN message_store._category_messages.global_position IS
$$Its place in the store, from 1, with gaps.$$;
COMMENT ON COLUMN message_store._category_messages."position" IS
$$Its place in the stream, from 0: its version minus 1.$$;
COMMENT ON COLUMN message_store._category_messages."time" IS $$When it was written, in UTC.$$;
COMMENT ON COLUMN message_store._category_messages.stream_name IS $$Name of its stream.$$;
COMMENT ON COLUMN message_store._category_messages.type IS $$Name of its type.$$;
COMMENT ON COLUMN message_store._category_messages.data IS $$Its payload; NULL for JSON null.$$;
COMMENT ON COLUMN message_store._category_messages.metadata IS
$$Its writer's metadata, a JSON object, or NULL.$$;
COMMENT ON COLUMN message_store._category_messages.id IS $$Identity of the message.$$;
COMMENT ON COLUMN message_store._category_messages.category_key IS
$$Key of its category in the index.$$;
COMMENT ON COLUMN message_store._category_messages.category IS $$Its stream's category.$$;
