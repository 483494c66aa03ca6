-- The runs of slots that this decision has brought in: those that carry the ids of its runs.
SELECT
    backroom.start(
        flow => g.flow, input => g.input::json, key => g.key, queue => g.queue,
        priority => g.priority, timeout => make_interval(secs => g.timeout_us / 1000000.0),
        id => g.id, subject => g.subject, version => g.version, partition => g.partition,
        expires => make_interval(secs => g.expires_us / 1000000.0), even_if_full => true
    ),
    CASE WHEN g.leader IS NOT NULL THEN backroom.follow(g.id, ARRAY[g.leader], false)::text END
FROM (
    SELECT g.* FROM unnest(
        %(ids)s::uuid[], %(flows)s::text[], %(inputs)s::text[], %(keys)s::text[],
        %(queues)s::text[], %(priorities)s::int[], %(timeouts)s::bigint[], %(subjects)s::text[],
        %(versions)s::int[], %(partitions)s::text[], %(expiries)s::bigint[], %(leaders)s::uuid[]
    ) WITH ORDINALITY AS g (
        id, flow, input, key, queue, priority, timeout_us, subject, version, partition, expires_us,
        leader, turn
    )
    ORDER BY g.turn
) AS g
WHERE EXISTS (SELECT 1 FROM backroom.slot AS k WHERE k.run_id = g.id)
