-- One turn of a consumer; it includes itself as long as there is work.
SELECT bank.claim_batch_json('{mails}', 'worker-1') AS claim \gset
SELECT :'claim'::json ->> 'state' <> 'idle' AS any, :'claim'::json ->> 'state' = 'claimed' AS claimed \gset
\if :claimed
  SELECT
    c.subscription, c.partition, c.token, c.checkpoint, c.messages,
    (c.messages -> 0 ->> 'global_position')::bigint AS first,
    json_array_length(c.messages) > 0 AS some
  FROM json_to_record(:'claim') AS c (
    subscription text, partition bigint, token bigint, checkpoint bigint, messages json
  ) \gset
  BEGIN;
  INSERT INTO mails
  SELECT m.message_id, m.global_position FROM json_populate_recordset(NULL::bank.message, :'messages') AS m;
  SELECT FROM bank.acknowledge(:'subscription', :partition, :token, :checkpoint, release => true);
  -- psql sets ERROR to whether the statement before failed. Then COMMIT rolls back.
  \set failed :ERROR
  COMMIT;
  -- Without a message the acknowledgement has failed.
  SELECT :'any'::boolean AND (:'some'::boolean OR NOT :'failed'::boolean) AS any,
    :'some'::boolean AND :'failed'::boolean AS failed \gset
  \if :failed
    SELECT FROM bank.fail_message(:'subscription', :partition, :token, :first, 'see the log');
  \endif
\endif
\if :any
  \ir consume.sql
\endif
