-- As settings, for good: only where nobody but us ever has this session.
SELECT set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false),
    set_config('plan_cache_mode', 'force_generic_plan', false),
    set_config('lock_timeout', %(lock_timeout)s, false)
