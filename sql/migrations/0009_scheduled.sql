-- breaking: no
-- Scheduled messages: written to their streams later, at a time of their own.
SET LOCAL lock_timeout = '3s';

CREATE TABLE scheduled_messages (
  message_id uuid NOT NULL,
  due_at timestamptz NOT NULL,
  scheduled_at timestamptz NOT NULL,
  scheduled_position bigint NOT NULL,
  stream text COLLATE "C" NOT NULL,
  type text COLLATE "C" NOT NULL,
  data jsonb NOT NULL,
  metadata jsonb,
  CONSTRAINT scheduled_messages_message_id_pkey PRIMARY KEY (message_id),
  CONSTRAINT scheduled_messages_due_at_check CHECK (isfinite(due_at)),
  CONSTRAINT scheduled_messages_stream_check CHECK (octet_length(stream) BETWEEN 1 AND 1000),
  CONSTRAINT scheduled_messages_type_check CHECK (octet_length(type) BETWEEN 1 AND 255),
  CONSTRAINT scheduled_messages_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);
CREATE INDEX scheduled_messages_due_at_scheduled_position_idx
  ON scheduled_messages (due_at, scheduled_position);
CREATE INDEX scheduled_messages_stream_due_at_scheduled_position_idx
  ON scheduled_messages (stream, due_at, scheduled_position);
COMMENT ON TABLE scheduled_messages IS
$$Keeps the messages that deliver_scheduled writes to their streams when they are due.$$;
COMMENT ON COLUMN scheduled_messages.message_id IS $$Id that the message will have.$$;
COMMENT ON COLUMN scheduled_messages.due_at IS $$When it is due, by the server's clock.$$;
COMMENT ON COLUMN scheduled_messages.scheduled_at IS $$When it was scheduled.$$;
COMMENT ON COLUMN scheduled_messages.scheduled_position IS
$$Its place among those that are due at the same time: a number of global_position_seq, which no
message gets.$$;
COMMENT ON COLUMN scheduled_messages.stream IS $$Stream that it will be written to.$$;
COMMENT ON COLUMN scheduled_messages.type IS $$Type of the message: 1 to 255 bytes.$$;
COMMENT ON COLUMN scheduled_messages.data IS $$Payload, any JSON value.$$;
COMMENT ON COLUMN scheduled_messages.metadata IS $$Metadata, a JSON object or NULL.$$;
