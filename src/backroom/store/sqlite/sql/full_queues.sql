SELECT name, max_waiting FROM backroom_queue WHERE max_waiting IS NOT NULL
