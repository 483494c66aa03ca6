INSERT INTO backroom_live (
    id, flow, queue, priority, state, available_at, deadline_at, expires_at, partition, of_row, turn
)
VALUES (?, ?, ?, ?, 'ready', ?, ?, ?, ?, ?, ?)
