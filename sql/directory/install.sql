-- A directory of stores: where each of them is. In any database, by psql or by Directory.install();
-- safe to run again.
DO $$
BEGIN
  IF EXISTS (
    SELECT FROM pg_namespace AS n
    WHERE n.nspname = 'pgstore_directory'
      AND n.nspowner <> (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user)
  ) THEN
    -- Its owner says where programs connect with their passwords, and could put triggers there that
    -- run with the installer's rights.
    RAISE EXCEPTION USING
      ERRCODE = 'insufficient_privilege',
      MESSAGE = format('schema pgstore_directory belongs to another role than %I', current_user),
      HINT = 'SET ROLE to its owner, or drop it if that role is not to be trusted.';
  END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS pgstore_directory;

CREATE TABLE IF NOT EXISTS pgstore_directory.stores (
  store text COLLATE "C" NOT NULL,
  conninfo text NOT NULL,
  state text COLLATE "C" NOT NULL DEFAULT 'open',
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT stores_store_pkey PRIMARY KEY (store),
  CONSTRAINT stores_store_check CHECK (octet_length(store) BETWEEN 1 AND 63),
  CONSTRAINT stores_conninfo_check CHECK (
    octet_length(conninfo) BETWEEN 1 AND 2000
    -- Each reader of the directory sees it.
    AND conninfo !~* (
      '(^|[^[:alnum:]_])((ssl)?password|oauth_client_secret|scram_(client|server)_key)[[:space:]]*='
      '|://[^/@]*:[^/@]*@|^postgres(ql)?://.*[?&][^=&]*%[^=&]*='
    )
  ),
  CONSTRAINT stores_state_check CHECK (state IN ('open', 'moving'))
);
COMMENT ON SCHEMA pgstore_directory IS $$Where the stores are: a directory of pgstore.$$;
COMMENT ON TABLE pgstore_directory.stores IS $$Lists the stores, and where each of them is.$$;
COMMENT ON COLUMN pgstore_directory.stores.store IS $$Name of the store: that of its schema.$$;
COMMENT ON COLUMN pgstore_directory.stores.conninfo IS
$$Connection string of the database that has the store, without a password.$$;
COMMENT ON COLUMN pgstore_directory.stores.state IS
$$open, or moving: pgstore move copies it to another place.$$;
COMMENT ON COLUMN pgstore_directory.stores.since IS $$Since when it is there, or in this state.$$;
