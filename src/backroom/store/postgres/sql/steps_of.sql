SELECT
    s.run_id::text, s.address, s.name, s.kind, s.state, s.result, s.error, s.fingerprint, s.tries,
    s.started_at, s.finished_at
FROM backroom.step AS s WHERE s.run_id = ANY (%(ids)s::uuid[])
ORDER BY s.run_id, s.address COLLATE "C"
