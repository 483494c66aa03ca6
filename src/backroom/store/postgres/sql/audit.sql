SELECT a.id::text, a.at, a.act, a.by, a.what FROM backroom.audit AS a ORDER BY a.id DESC LIMIT %(limit)s::int
