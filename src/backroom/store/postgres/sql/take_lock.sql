SELECT backroom.take_lock(
    %(id)s::uuid, %(attempt)s::int, %(names)s::text[], %(address)s::text, %(path)s::text
)
