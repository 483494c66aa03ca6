INSERT INTO backroom_progress (run_id, fraction, status, updated_at) VALUES (?, ?, ?, ?)
ON CONFLICT (run_id) DO UPDATE SET
    fraction = coalesce(excluded.fraction, fraction),
    status = coalesce(excluded.status, status),
    updated_at = excluded.updated_at
