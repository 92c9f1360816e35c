CREATE OR REPLACE FUNCTION _time_fits(
  moment timestamptz
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN _time_fits.moment >= timestamptz '0001-01-02 00:00:00+00'
  AND _time_fits.moment < timestamptz '9999-12-31 00:00:00+00';

COMMENT ON FUNCTION _time_fits(timestamptz) IS
$$Internal: tell whether a message may have this time: within the years 1 to 9999 in every time
zone, so that every client can read it. NULL for NULL.$$;
