-- Wakes the runs that wait for one of these runs, which have just ended: parents and others.
UPDATE backroom_live SET state = 'ready', available_at = min(available_at, ?1)
WHERE state = 'waiting' AND id IN (
    SELECT w.run_id FROM json_each(?2)
    CROSS JOIN backroom_wait AS w INDEXED BY backroom_wait_child
        ON w.kind = 'child' AND w.name = value
)
