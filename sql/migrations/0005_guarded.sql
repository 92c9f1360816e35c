-- breaking: no
-- What keeps a store safe where rights were lost, and what makes its tables refuse wrong rows.
SET LOCAL lock_timeout = '10s';
