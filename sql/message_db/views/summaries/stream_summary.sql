CREATE OR REPLACE VIEW message_store.stream_summary AS
SELECT
  m.stream_name,
  count(*) AS message_count,
  round(count(*) / sum(count(*)) OVER () * 100, 2) AS percent
FROM message_store.messages AS m
GROUP BY m.stream_name
ORDER BY m.stream_name COLLATE "default";

COMMENT ON VIEW message_store.stream_summary IS
$$Counts the messages of each stream. It reads all messages.$$;
COMMENT ON COLUMN message_store.stream_summary.stream_name IS $$Name of the stream.$$;
COMMENT ON COLUMN message_store.stream_summary.message_count IS $$How many messages it has.$$;
COMMENT ON COLUMN message_store.stream_summary.percent IS
$$Their share of all messages, in percent.$$;
