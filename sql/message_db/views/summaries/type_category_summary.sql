CREATE OR REPLACE VIEW message_store.type_category_summary AS
SELECT
  m.type,
  message_store.category(m.stream_name) AS category,
  count(*) AS message_count,
  round(count(*) / sum(count(*)) OVER () * 100, 2) AS percent
FROM message_store.messages AS m
GROUP BY m.type, message_store.category(m.stream_name)
ORDER BY m.type COLLATE "default", message_store.category(m.stream_name) COLLATE "default";

COMMENT ON VIEW message_store.type_category_summary IS
$$Counts the messages of each type and category. It reads all messages.$$;
COMMENT ON COLUMN message_store.type_category_summary.type IS $$Name of the type.$$;
COMMENT ON COLUMN message_store.type_category_summary.category IS $$Name of the category.$$;
COMMENT ON COLUMN message_store.type_category_summary.message_count IS
$$How many messages it has.$$;
COMMENT ON COLUMN message_store.type_category_summary.percent IS
$$Their share of all messages, in percent.$$;
