SELECT l.queue,
    CASE WHEN l.state = 'scheduled' AND l.available_at <= backroom.now_us() THEN 'ready'
        ELSE l.state END AS state,
    count(*)
FROM backroom.live AS l GROUP BY 1, 2
UNION ALL
SELECT r.queue, e.state, count(*)
FROM backroom.result AS e JOIN backroom.run AS r ON r.id = e.run_id GROUP BY 1, 2
