INSERT INTO backroom_start (
    id, flow, input, key, queue, priority, timeout_seconds, subject, version, partition,
    expires_seconds, even_if_full
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
