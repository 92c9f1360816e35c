-- breaking: no
-- Gates: keys that writers share while they are in flight. A reader that finds all of them free
-- knows that no writer is in flight, and need not look at each lock of the server.
SET LOCAL lock_timeout = '10s';

-- As the other lock classes, fixed here for good; none of theirs. Dynamic, because it hashes the
-- schema's name.
DO $$
DECLARE
  store_hash text := encode(sha256(convert_to('pgstore:' || current_schema(), 'UTF8')), 'hex');
  class integer;
BEGIN
  FOR attempt IN 1..100 LOOP
    class := (
      'x' || encode(
        substr(sha256(convert_to(store_hash || 'gate_lock_class' || attempt, 'UTF8')), 1, 4), 'hex'
      )
    )::bit(32)::integer;
    EXIT WHEN class NOT BETWEEN _mark_lock_class() AND _mark_lock_class() + 64
      AND class NOT IN (_stream_lock_class(), _bell_lock_class());
  END LOOP;
  EXECUTE format(
    'CREATE FUNCTION _gate_lock_class() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE '
      'RETURN %L::integer',
    class
  );
END
$$;
COMMENT ON FUNCTION _gate_lock_class() IS
$$Internal: first key of the gates that writers share while they are in flight.$$;

-- Transactions that are open during the upgrade can still write by the functions of before, which
-- enter no gate. Until all of them have ended, readers do without the gates: see _trust_gates().
CREATE SEQUENCE gate_trust_seq AS bigint;
COMMENT ON SEQUENCE gate_trust_seq IS
$$Gives no numbers: it has a value as soon as readers may trust the gates, and none before. Read in
less time than a row, under every snapshot.$$;

-- Unlogged: virtual transaction ids mean nothing on another server, or after a restart.
CREATE UNLOGGED TABLE gate_waits (
  virtual_transaction text NOT NULL,
  CONSTRAINT gate_waits_virtual_transaction_pkey PRIMARY KEY (virtual_transaction)
);
COMMENT ON TABLE gate_waits IS
$$Lists transactions that were open after the upgrade which brought the gates, and that must end
before readers trust these. Empty before they are noted, and afterwards.$$;
COMMENT ON COLUMN gate_waits.virtual_transaction IS $$As pg_locks.virtualxid.$$;

-- Nobody has written to a new store: its readers trust the gates at once.
SELECT setval('gate_trust_seq', 1) WHERE NOT EXISTS (SELECT FROM migrations);
