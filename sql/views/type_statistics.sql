CREATE OR REPLACE VIEW type_statistics AS
SELECT
  m.type,
  count(*) AS messages,
  min(m.global_position) AS first_position,
  max(m.global_position) AS last_position,
  max(m.added_at) AS last_added_at
FROM messages AS m
GROUP BY m.type;

COMMENT ON VIEW type_statistics IS
$$Each type of messages and how many there are. It reads all messages: not for every minute.$$;
COMMENT ON COLUMN type_statistics.type IS $$Name of the type.$$;
COMMENT ON COLUMN type_statistics.messages IS $$How many messages have it.$$;
COMMENT ON COLUMN type_statistics.first_position IS $$Global position of the first one.$$;
COMMENT ON COLUMN type_statistics.last_position IS $$Global position of the last one.$$;
COMMENT ON COLUMN type_statistics.last_added_at IS $$When the youngest one was written.$$;
