"""Expense claims: a small web application that embeds backroom.

A person submits a claim, a flow checks it, mails the approver and waits for the decision, books it
and mails the person, who watches all of it on a page. Kill any of its processes at any time.

    flow.py       start here: the flow `review` and its steps
    submitting.py a claim and its run in one transaction; a decision and its event in another
    policy.py     which claims are acceptable; pure
    tables.py     the application's own tables, in the same database as backroom's
    loading.py    claims from a CSV file, one run per row
    sending.py    mail by SMTP          mailbox.py   the catch-all mailbox of development
    web/          the pages             __main__.py  the demo and the loader's command

Run it with `make demo`, or `python -m examples.expenses`; README.md says what to look at.
"""
