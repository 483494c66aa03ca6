-- For this transaction only. Our statements are written for nested loops over indexes; a plan made
-- while a table was empty must not turn into a scan of it once it is full. LOCAL, since behind a
-- pooler the next transaction of this connection may be anybody's.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true),
    set_config('lock_timeout', %(lock_timeout)s, true)
