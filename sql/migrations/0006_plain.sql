-- breaking: yes
-- One pair of functions grants and revokes rights.
SET LOCAL lock_timeout = '10s';

DROP FUNCTION IF EXISTS grant_read(text);
DROP FUNCTION IF EXISTS grant_write(text, text[]);
DROP FUNCTION IF EXISTS grant_consume(text);
DROP FUNCTION IF EXISTS grant_monitor(text);
DROP FUNCTION IF EXISTS grant_admin(text);
DROP FUNCTION IF EXISTS revoke_read(text);
DROP FUNCTION IF EXISTS revoke_write(text);
DROP FUNCTION IF EXISTS revoke_consume(text);
DROP FUNCTION IF EXISTS revoke_monitor(text);
DROP FUNCTION IF EXISTS revoke_admin(text);
DROP FUNCTION IF EXISTS grant_kind(text, text, text[]);
DROP FUNCTION IF EXISTS revoke_kind(text, text);
