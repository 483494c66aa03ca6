-- Who wrote the checkpoint at an address, and in which state it is.
SELECT s.state, s.attempt FROM backroom.step AS s
WHERE s.run_id = %(id)s::uuid AND s.address = %(address)s
