SELECT f.started, f.more FROM backroom.fire(%(limit)s::int, %(depth)s::int) AS f
