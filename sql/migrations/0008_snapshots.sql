-- breaking: no
-- Snapshots: states that programs have made of a stream's messages.
SET LOCAL lock_timeout = '3s';

CREATE TABLE snapshots (
  stream_id bigint NOT NULL,
  code_version bigint NOT NULL,
  version bigint NOT NULL,
  added_at timestamptz NOT NULL,
  snapshot text COLLATE "C" NOT NULL,
  state jsonb NOT NULL,
  CONSTRAINT snapshots_stream_id_snapshot_code_version_pkey
    PRIMARY KEY (stream_id, snapshot, code_version),
  CONSTRAINT snapshots_snapshot_check CHECK (octet_length(snapshot) BETWEEN 1 AND 255),
  CONSTRAINT snapshots_version_check CHECK (version >= 1)
);
COMMENT ON TABLE snapshots IS
$$Keeps the last state that was saved of each stream, for each name and version of the code that
made it.$$;
COMMENT ON COLUMN snapshots.stream_id IS $$The stream, streams.stream_id.$$;
COMMENT ON COLUMN snapshots.code_version IS
$$Version of the code that made the state. Another version's code does not read it.$$;
COMMENT ON COLUMN snapshots.version IS
$$Version of the last message of the stream that is in the state.$$;
COMMENT ON COLUMN snapshots.added_at IS $$When the state was saved, by the server's clock.$$;
COMMENT ON COLUMN snapshots.snapshot IS
$$Name of the code that made the state: 1 to 255 bytes.$$;
COMMENT ON COLUMN snapshots.state IS $$The state, any JSON value.$$;

CREATE TABLE stream_changes (
  stream_id bigint NOT NULL,
  changes bigint NOT NULL,
  CONSTRAINT stream_changes_stream_id_pkey PRIMARY KEY (stream_id),
  CONSTRAINT stream_changes_changes_check CHECK (changes >= 1)
);
COMMENT ON TABLE stream_changes IS
$$Counts how often messages of a stream were redacted, or all of them deleted. A state that a
program has made of the messages before such a change is neither saved nor continued after it.$$;
COMMENT ON COLUMN stream_changes.stream_id IS $$The stream, streams.stream_id.$$;
COMMENT ON COLUMN stream_changes.changes IS
$$How often messages of the stream were redacted, or all deleted.$$;
