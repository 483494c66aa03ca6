DELETE FROM backroom.worker WHERE id = %(id)s
