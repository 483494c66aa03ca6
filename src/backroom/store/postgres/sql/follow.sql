-- Lets a run that was stored just now begin only after others.
SELECT backroom.follow(%(id)s::uuid, %(leaders)s::uuid[], %(must_succeed)s::boolean)
