CREATE OR REPLACE FUNCTION _gates_free()
RETURNS boolean
LANGUAGE sql
VOLATILE
PARALLEL UNSAFE
RETURN
  -- Each gate is taken and given back in one expression, which nothing can interrupt half-way: a
  -- writer that comes to it meanwhile waits for that instant.
  pg_try_advisory_lock(_gate_lock_class(), 0) AND pg_advisory_unlock(_gate_lock_class(), 0)
  AND pg_try_advisory_lock(_gate_lock_class(), 1) AND pg_advisory_unlock(_gate_lock_class(), 1)
  AND pg_try_advisory_lock(_gate_lock_class(), 2) AND pg_advisory_unlock(_gate_lock_class(), 2)
  AND pg_try_advisory_lock(_gate_lock_class(), 3) AND pg_advisory_unlock(_gate_lock_class(), 3);

COMMENT ON FUNCTION _gates_free() IS
$$Internal: true if no other transaction is in flight. False tells nothing: another reader may try
at the same moment. A gate that this session holds itself passes for a free one. Inlined into its
caller, hence without a search_path of its own.$$;
