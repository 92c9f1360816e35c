CREATE OR REPLACE VIEW message_store.stream_type_summary AS
SELECT
  m.stream_name,
  m.type,
  count(*) AS message_count,
  round(count(*) / sum(count(*)) OVER () * 100, 2) AS percent
FROM message_store.messages AS m
GROUP BY m.stream_name, m.type
ORDER BY m.stream_name COLLATE "default", m.type COLLATE "default";

COMMENT ON VIEW message_store.stream_type_summary IS
$$Counts the messages of each stream and type. It reads all messages.$$;
COMMENT ON COLUMN message_store.stream_type_summary.stream_name IS $$Name of the stream.$$;
COMMENT ON COLUMN message_store.stream_type_summary.type IS $$Name of the type.$$;
COMMENT ON COLUMN message_store.stream_type_summary.message_count IS $$How many messages it has.$$;
COMMENT ON COLUMN message_store.stream_type_summary.percent IS
$$Their share of all messages, in percent.$$;
