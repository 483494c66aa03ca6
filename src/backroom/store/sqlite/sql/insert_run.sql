INSERT INTO backroom_run
    (id, flow, queue, priority, key, input, timeout_us, parent_id, cause_id, root_id, depth, created_at,
     partition, subject, version)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
