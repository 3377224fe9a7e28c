//! The atoms that terms are read and written with.

rustler::atoms! {
    ok, error, nil, more, heavy, dirty,
    // when what is written is durable
    always, interval,
    // a change
    op, new_record, old_record, pk, old_key, changed_columns, record, relation, key,
    insert, update, delete, truncate,
    id, schema, table, columns, tables, name, type_oid, typmod, key_question = "key?", replica_identity,
    // an answer
    rekey, upsert, delete_if_present, unknown, missing,
    // what subqueries select
    values, move_in, move_out, all, set, subqueries, busy,
    // a cache
    miss,
    // logs
    replay, shape_log, durable, fsync, chunk_bytes_threshold, keep_complete_chunks, flush_period,
    compaction_period, gzip, operation_cache_max_operations, operation_cache_ttl_ms,
    operation_cache_total_bytes, sendfile, cached, stream, up_to_date, not_aligned, not_sealed, too_small,
    damaged, chunk_sealed, chunk_seal_failed,
    // a column's type
    enumeration = "enum", array, collate,
    // structs of values
    __struct__, map,
    decimal = "Elixir.Decimal", sign, coef, exp, nan = "NaN", inf, qnan = "qNaN",
    date_time = "Elixir.DateTime", naive_date_time = "Elixir.NaiveDateTime",
    date = "Elixir.Date", time = "Elixir.Time",
    calendar, iso = "Elixir.Calendar.ISO", time_zone,
    year, month, day, hour, minute, second, microsecond, utc_offset, std_offset,
    // indexes
    degraded, has_null, remove,
    num_lanes, total_overlay_entries, total_segment_entries, total_segments, bytes_per_key,
    read_amplification, resident_bytes, segment_bytes,
    // explanations
    filed, conditions, template, program, membership, known, equality, null, element, json, range, prefix, infix,
    sampled, several, scan, never, stale,
    candidate, new, old, class,
    // circuits
    create, flat, tree, streaming, created, updated, deleted, event, version,
    view_update = "Elixir.ShapeRouter.ViewUpdate", view_id, format, hash, ids, records, rows,
    views, nodes, arrangements, arranged_rows, counted_rows, groups, sorted_rows, steps, dirty_steps, mark,
}
