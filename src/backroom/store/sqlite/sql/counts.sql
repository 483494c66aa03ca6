-- Runs per queue and state. A timer that has come due counts as ready, as everywhere.
SELECT queue, state, count(*) FROM (
    SELECT queue, CASE
        WHEN state = 'scheduled' AND available_at <= (SELECT now_us FROM backroom_clock) THEN 'ready'
        ELSE state END AS state
    FROM backroom_live
    UNION ALL
    SELECT r.queue, e.state FROM backroom_result AS e JOIN backroom_run AS r ON r.id = e.run_id
)
GROUP BY queue, state
