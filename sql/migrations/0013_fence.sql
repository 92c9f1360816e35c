-- breaking: no
-- A fence: it closes a store that moves to another place, and says where that is.
SET LOCAL lock_timeout = '3s';

CREATE TABLE store_fence (
  fenced_at timestamptz NOT NULL,
  new_conninfo text NOT NULL,
  role text COLLATE "C" NOT NULL,
  CONSTRAINT store_fence_fenced_at_pkey PRIMARY KEY (fenced_at),
  CONSTRAINT store_fence_new_conninfo_check CHECK (octet_length(new_conninfo) BETWEEN 1 AND 2000)
);
COMMENT ON TABLE store_fence IS
$$Holds the fence that closes the store: one row, none while the store is open.$$;
COMMENT ON COLUMN store_fence.fenced_at IS $$When fence_store closed it, by the server's clock.$$;
COMMENT ON COLUMN store_fence.new_conninfo IS
$$Connection string of the place where the store is, without a password.$$;
COMMENT ON COLUMN store_fence.role IS $$The role that closed it.$$;

-- A constant, as _writers_restricted: it is inlined into the statements of reads and costs them
-- nothing. fence_store replaces it by a function that raises MS030, which makes the plans of all
-- sessions anew.
CREATE FUNCTION _is_open()
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN true;

COMMENT ON FUNCTION _is_open() IS
$$Internal: true; raises MS030 while a fence closes the store. Reads call it in their statements.
Writes are refused by triggers, which no earlier plan passes.$$;
