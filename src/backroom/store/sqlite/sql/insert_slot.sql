-- The slot's key lets the first one in, and nobody else.
INSERT OR IGNORE INTO backroom_slot (
    schedule, series, place, at, last_at, count, decision, run_id, reason, decided_at
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
