INSERT INTO backroom_live
    (id, flow, queue, priority, state, available_at, deadline_at, parent_id, partition, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
