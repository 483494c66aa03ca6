-- Wakes the runs that wait for a breaker which has just closed.
UPDATE backroom_live SET state = 'ready', available_at = min(available_at, ?1)
WHERE state = 'waiting' AND id IN (
    SELECT w.run_id FROM backroom_wait AS w INDEXED BY backroom_wait_child
    WHERE w.kind = 'breaker' AND w.name = ?2
)
