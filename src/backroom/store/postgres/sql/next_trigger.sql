SELECT coalesce(max(t.id), 0) + 1 FROM backroom.trigger AS t
