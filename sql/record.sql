-- Ends an installation or upgrade: writes down what has been applied.
INSERT INTO migrations (number, applied_at, name, checksum)
SELECT k.number, clock_timestamp(), k.name, k.checksum
FROM json_to_recordset(current_setting('pgstore.manifest')::json)
  AS k (number bigint, name text, checksum text)
ON CONFLICT (number) DO UPDATE
SET applied_at = excluded.applied_at, name = excluded.name, checksum = excluded.checksum
WHERE migrations.checksum <> excluded.checksum;
