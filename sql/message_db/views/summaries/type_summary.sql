CREATE OR REPLACE VIEW message_store.type_summary AS
SELECT
  m.type,
  count(*) AS message_count,
  round(count(*) / sum(count(*)) OVER () * 100, 2) AS percent
FROM message_store.messages AS m
GROUP BY m.type
ORDER BY m.type COLLATE "default";

COMMENT ON VIEW message_store.type_summary IS
$$Counts the messages of each type. It reads all messages.$$;
COMMENT ON COLUMN message_store.type_summary.type IS $$Name of the type.$$;
COMMENT ON COLUMN message_store.type_summary.message_count IS $$How many messages it has.$$;
COMMENT ON COLUMN message_store.type_summary.percent IS
$$Their share of all messages, in percent.$$;
