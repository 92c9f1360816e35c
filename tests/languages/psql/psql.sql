-- psql. PGHOST, PGPORT, PGUSER and PGDATABASE say where the server is.
\pset tuples_only on
\pset format unaligned

-- Write. \gset keeps version and global_position as variables.
SELECT * FROM bank.write_message('account-1', 'Opened', '{"owner": "Ann"}') \gset
SELECT json_build_object('operation', 'write', 'version', :version, 'global_position', :global_position);

-- Write only if the stream is at version 1. The second time it is not: psql prints the error, its code is in
-- LAST_ERROR_SQLSTATE. In PL/pgSQL the code is a condition, and the detail is JSON.
SELECT * FROM bank.write_message('account-1', 'Deposited', '{"amount": 10}', expected_version => 1) \gset
SELECT * FROM bank.write_message('account-1', 'Deposited', '{"amount": 10}', expected_version => 1);
\set sqlstate :LAST_ERROR_SQLSTATE
DO $$
DECLARE
  detail text;
BEGIN
  PERFORM FROM bank.write_message('account-1', 'Deposited', '{"amount": 10}', expected_version => 1);
EXCEPTION
  WHEN SQLSTATE 'MS001' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    PERFORM set_config('example.detail', detail, false);
END
$$;
SELECT json_build_object(
  'operation', 'expected version', 'version', :version, 'sqlstate', :'sqlstate',
  'detail', current_setting('example.detail')::json
);

-- Write again, because no answer came: the same id is stored once, and answers the same.
SELECT bank.new_message_id() AS id \gset
SELECT to_json(w) AS first
FROM bank.write_message('account-1', 'Withdrawn', '{"amount": 5}', message_id => :'id') AS w \gset
SELECT to_json(w) AS again
FROM bank.write_message('account-1', 'Withdrawn', '{"amount": 5}', message_id => :'id') AS w \gset
SELECT json_build_object('operation', 'retry', 'first', :'first'::json, 'again', :'again'::json);

-- A batch. :'messages' quotes a variable, whatever is in it.
\set messages '[{"type": "Deposited", "data": {"amount": 20}}, {"type": "Noted", "data": {"text": "It''s \\"5 €\\""}}]'
SELECT * FROM bank.write_messages('account-1', :'messages') \gset
SELECT json_build_object('operation', 'batch', 'version', :version, 'global_position', :global_position);

-- Decide on messages with a tag, and write only if no other one has come.
\set query '[{"tags": ["seat-7"]}]'
\set booking '[{"type": "Booked", "data": {"seat": 7}, "tags": ["seat-7"]}]'
SELECT bank.read_tagged_json(:'query') ->> 'decided_upon' AS token \gset
SELECT * FROM bank.write_if('booking-1', :'booking', :'query', :'token') \gset
SELECT * FROM bank.write_if('booking-2', :'booking', :'query', :'token');
SELECT json_build_object(
  'operation', 'condition', 'version', :version, 'global_position', :global_position,
  'sqlstate', :'LAST_ERROR_SQLSTATE'
);

-- Read a stream.
SELECT jsonb_build_object('operation', 'read stream', 'messages', jsonb_agg(to_jsonb(m)))
FROM (SELECT version, type, data FROM bank.read_stream('account-1')) AS m;

-- Follow everything, page by page. Store reached_position to continue there.
\set reached_position 0
\set positions []
\set more true
\ir follow.sql
SELECT jsonb_build_object('operation', 'follow', 'positions', :'positions'::jsonb);

-- Consume: the acknowledgement commits with what the handler did, so each message has its effect once.
SELECT FROM bank.create_subscription('mails', categories => '{account}', retry_delay => '0');
\ir consume.sql
SELECT bank.acknowledge('mails', 0, 1, 1);
SELECT jsonb_build_object(
  'operation', 'consume', 'lost', :'LAST_ERROR_SQLSTATE',
  'handled', jsonb_agg(m.global_position ORDER BY m.global_position)
)
FROM mails AS m;

-- Wait for a message. The session that listens holds the bell: only then do writers notify. psql tells of a
-- notification after the next statement.
SELECT bank.wake_channel() AS channel \gset
LISTEN :"channel";
SELECT safe_position <= :looked_position AND NOT in_flight AS wait FROM bank.fall_asleep(pg_backend_pid()) \gset
\! psql -X -q -t -c "SELECT FROM bank.write_message('account-2', 'Opened', '{\"owner\": \"Bo\"}')"
SELECT FROM bank.wake_up(pg_backend_pid());
SELECT jsonb_build_object(
  'operation', 'listen', 'notified', :'wait'::boolean,
  'messages', bank.read_page_json(:reached_position)::jsonb -> 'messages'
);
