-- The next page of everything; it includes itself until there is no more.
SELECT bank.read_page_json(:reached_position, 2) AS page \gset
SELECT
  p.reached_position, p.looked_position, p.more,
  :'positions'::jsonb || coalesce(
    (SELECT jsonb_agg(m -> 'global_position') FROM json_array_elements(p.messages) AS m), '[]'
  ) AS positions
FROM json_to_record(:'page') AS p (
  reached_position bigint, looked_position bigint, more boolean, messages json
) \gset
\if :more
  \ir follow.sql
\endif
