-- breaking: no
-- Reads across streams on standbys: up to a position that the primary publishes.
SET LOCAL lock_timeout = '3s';

CREATE TABLE store_horizon (
  safe_position bigint NOT NULL,
  published_at timestamptz NOT NULL,
  publisher text COLLATE "C",
  CONSTRAINT store_horizon_safe_position_pkey PRIMARY KEY (safe_position),
  CONSTRAINT store_horizon_safe_position_check CHECK (safe_position >= 0)
);
COMMENT ON TABLE store_horizon IS
$$Holds the published horizon, for readers on standbys: one row, none before publish_horizon() was
called. Its key rises with each change, so that the newest version is the first one that a look
finds, however many dead ones an old snapshot keeps.$$;
COMMENT ON COLUMN store_horizon.safe_position IS
$$Global position up to which every message is committed, or will never exist.$$;
COMMENT ON COLUMN store_horizon.published_at IS
$$When that was last so by the primary's clock: when the position moved, or was confirmed.$$;
COMMENT ON COLUMN store_horizon.publisher IS
$$Name of the program that published it; NULL if it gave none.$$;
