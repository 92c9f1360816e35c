-- 48 bits of milliseconds, the version, 12 bits of the rest of the millisecond, then the half of a
-- random UUID that holds the variant (RFC 9562).
CREATE OR REPLACE FUNCTION new_message_id()
RETURNS uuid
LANGUAGE sql
VOLATILE
PARALLEL SAFE
RETURN (
  SELECT encode(
    int8send((n.us / 1000 << 16) | 28672 | (n.us % 1000 * 4096 / 1000))
      || substring(uuid_send(gen_random_uuid()) FROM 9),
    'hex'
  )::uuid
  FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS us) AS n
);

COMMENT ON FUNCTION new_message_id() IS
$$A new UUID of version 7: ids made later sort later, to about a microsecond.$$;

-- PostgreSQL makes them itself from version 18 on.
DO $do$
BEGIN
  IF current_setting('server_version_num')::integer >= 180000 THEN
    CREATE OR REPLACE FUNCTION new_message_id()
    RETURNS uuid
    LANGUAGE sql
    VOLATILE
    PARALLEL SAFE
    RETURN uuidv7();
  END IF;
END
$do$;
