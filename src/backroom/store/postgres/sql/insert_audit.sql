INSERT INTO backroom.audit (id, at, act, by, what)
VALUES (%(id)s::uuid, backroom.now_us(), %(act)s, %(by)s, %(what)s)
