"""The pages. Plain HTML from the server; one small script refreshes what is live.

site.py       the ASGI application: routers, errors, start-up and end
pages.py      rendering, who is acting, what stands in every page
doors.py      middleware: size limits, foreign origins, security headers
claims.py, approving.py, records.py   the pages themselves
"""

from examples.expenses.web.site import site

__all__ = ["site"]
