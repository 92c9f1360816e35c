-- breaking: no
-- What operators need: floors of streams that were cut off.
SET LOCAL lock_timeout = '10s';

ALTER TABLE streams ADD COLUMN floor bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN streams.floor IS
$$Highest version that was cut off by truncate_stream, delete_stream or retention; 0 if none.$$;
