CREATE OR REPLACE VIEW message_store.messages AS
SELECT
  m.global_position,
  m.version - 1 AS "position",
  m.added_at AT TIME ZONE 'UTC' AS "time",
  m.stream AS stream_name,
  m.type,
  nullif(m.data, 'null') AS data,
  m.metadata,
  m.message_id AS id
FROM all_messages AS m
WHERE message_store._reader_is_allowed();

COMMENT ON VIEW message_store.messages IS
$$Shows the store's messages as Message DB's table has them. It shows what is committed: a program
that follows the global order reads with get_category_messages. Nothing can be inserted here.$$;
COMMENT ON COLUMN message_store.messages.global_position IS
$$Its place in the store, from 1, with gaps.$$;
COMMENT ON COLUMN message_store.messages."position" IS
$$Its place in the stream, from 0: its version minus 1.$$;
COMMENT ON COLUMN message_store.messages."time" IS $$When it was written, in UTC.$$;
COMMENT ON COLUMN message_store.messages.stream_name IS $$Name of its stream.$$;
COMMENT ON COLUMN message_store.messages.type IS $$Name of its type.$$;
COMMENT ON COLUMN message_store.messages.data IS $$Its payload; NULL for JSON null.$$;
COMMENT ON COLUMN message_store.messages.metadata IS
$$Its writer's metadata, a JSON object, or NULL.$$;
COMMENT ON COLUMN message_store.messages.id IS $$Identity of the message.$$;
