-- Nothing of a store is open to everybody: rights are granted to roles. Dynamic, because these
-- commands name the schema.
DO $$
BEGIN
  EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', current_schema());
  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM PUBLIC', current_schema());
  EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM PUBLIC', current_schema());
  EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA %I FROM PUBLIC', current_schema());
END
$$;

-- What an upgrade adds, for the roles that were granted rights before.
DO $$ BEGIN PERFORM restore_grants(); END $$;
