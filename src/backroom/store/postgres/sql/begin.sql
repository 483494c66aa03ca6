-- In this isolation, whatever the server's default: a statement after the lock must see what was
-- committed while we waited for it.
BEGIN ISOLATION LEVEL READ COMMITTED
