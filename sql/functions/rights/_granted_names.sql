CREATE OR REPLACE FUNCTION _granted_names(
  kind text
)
RETURNS text[]
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
  -- Not IMMUTABLE: the planner would call it, for a constant, from within itself for ever.
  RETURN CASE kind
    WHEN 'read' THEN ARRAY[
      'read_stream', 'load_stream', 'last_message', 'get_message', 'get_messages', 'stream_version',
      'list_scheduled',
      'read_all', 'read_category', 'read_page', 'read_matching', 'read_correlated',
      'read_tagged', 'read_page_json', 'read_matching_json', 'read_tagged_json',
      'safe_position', 'horizon', 'horizon_age', 'last_position', 'wake_channel', 'fall_asleep',
      'wake_up', 'category',
      'applied_migrations', 'schema_version', 'needed_version',
      'all_messages', 'stream_statistics', 'category_statistics', 'type_statistics'
    ]
    WHEN 'write' THEN ARRAY[
      'write_message', 'write_messages', 'write_arrays', 'write_group', 'synchronize_stream',
      'write_if', 'schedule_message', 'cancel_message', 'deliver_scheduled',
      'save_snapshot', 'publish_horizon', 'new_message_id', 'category', 'applied_migrations',
      'schema_version', 'needed_version'
    ]
    WHEN 'consume' THEN ARRAY[
      'create_subscription', 'drop_subscription', 'pause_subscription', 'resume_subscription',
      'rewind_subscription', 'repartition_subscription', 'refilter_subscription',
      'hold_subscription', 'claim_partition', 'claim_batch', 'claim_batch_json', 'next_claim',
      'fetch_batch', 'fetch_batch_json',
      'extend_lease', 'acknowledge', 'fail_message', 'begin_handling', 'check_handling',
      'abandon_partition', 'release_partition', 'settle_parked', 'replay_parked', 'drop_parked',
      'subscription_position', 'position_before', 'list_subscriptions', 'list_partitions',
      'list_parked', 'safe_position', 'horizon', 'horizon_age', 'publish_horizon', 'last_position',
      'wake_channel', 'fall_asleep', 'wake_up', 'applied_migrations', 'schema_version',
      'needed_version'
    ]
    WHEN 'monitor' THEN ARRAY[
      'safe_position', 'horizon', 'horizon_age', 'last_position', 'schema_version',
      'applied_migrations', 'needed_version',
      'subscription_position', 'position_before', 'list_subscriptions', 'list_partitions',
      'list_parked', 'list_retention', 'store_statistics', 'health', 'count_parked', 'list_stuck',
      'count_scheduled',
      '_subscription_health', '_server_health', 'stream_statistics', 'category_statistics',
      'type_statistics', 'writers_in_flight', '_stream_lock_class', '_mark_lock_class',
      '_bell_lock_class', '_gate_lock_class', '_tag_lock_class', '_open_marks', '_foreign_locks',
      '_may_lock', 'list_sequences', 'fence_of_store'
    ]
    WHEN 'admin' THEN _granted_names('read') || _granted_names('write') || _granted_names('consume')
      || _granted_names('monitor')
      || ARRAY[
        'truncate_stream', 'delete_stream', 'redact_message', 'set_retention', 'drop_retention',
        'apply_retention', 'list_audit', 'list_grants', 'export_messages', 'export_floors',
        'import_messages', 'import_floors', 'import_times', 'check_messages', 'check_floors',
        'verify_store', 'skip_positions', 'empty_store', 'drop_snapshots'
      ]
  END;
END
$$;

COMMENT ON FUNCTION _granted_names(text) IS
$$Internal: return the functions and views that a role may use whom grant_access gave this kind of
rights, NULL for no kind: the only place that says so. A function that is new belongs here, or is
for the owner alone.$$;
