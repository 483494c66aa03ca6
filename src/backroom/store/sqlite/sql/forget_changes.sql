-- All up to the last one that was read: numbers are given in the order of commits.
DELETE FROM backroom_change WHERE id <= ?
