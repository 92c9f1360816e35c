CREATE OR REPLACE VIEW all_messages AS
SELECT
  m.message_id,
  s.stream,
  m.version,
  m.global_position,
  m.type,
  m.data,
  m.metadata,
  m.added_at,
  m.tags
FROM messages AS m
JOIN streams AS s USING (stream_id);

COMMENT ON VIEW all_messages IS
$$All messages with the names of their streams, for people. It shows what is committed: a program
that follows the global order reads with read_all, which never passes a message in flight.$$;
COMMENT ON COLUMN all_messages.message_id IS $$Identity of the message.$$;
COMMENT ON COLUMN all_messages.stream IS $$Name of its stream.$$;
COMMENT ON COLUMN all_messages.version IS $$Its place in the stream, from 1, without gaps.$$;
COMMENT ON COLUMN all_messages.global_position IS $$Its place in the store, from 1, with gaps.$$;
COMMENT ON COLUMN all_messages.type IS $$Name of its type.$$;
COMMENT ON COLUMN all_messages.data IS $$Its payload.$$;
COMMENT ON COLUMN all_messages.metadata IS $$Its writer's metadata, or NULL.$$;
COMMENT ON COLUMN all_messages.added_at IS $$When it was written, by the server's clock.$$;
COMMENT ON COLUMN all_messages.tags IS $$Its tags, or NULL if it has none.$$;
