CREATE OR REPLACE VIEW message_store.type_stream_summary AS
SELECT
  m.type,
  m.stream_name,
  count(*) AS message_count,
  round(count(*) / sum(count(*)) OVER () * 100, 2) AS percent
FROM message_store.messages AS m
GROUP BY m.type, m.stream_name
ORDER BY m.type COLLATE "default", m.stream_name COLLATE "default";

COMMENT ON VIEW message_store.type_stream_summary IS
$$Counts the messages of each type and stream. It reads all messages.$$;
COMMENT ON COLUMN message_store.type_stream_summary.type IS $$Name of the type.$$;
COMMENT ON COLUMN message_store.type_stream_summary.stream_name IS $$Name of the stream.$$;
COMMENT ON COLUMN message_store.type_stream_summary.message_count IS $$How many messages it has.$$;
COMMENT ON COLUMN message_store.type_stream_summary.percent IS
$$Their share of all messages, in percent.$$;
