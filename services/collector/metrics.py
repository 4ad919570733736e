"""What Prometheus sees of the feeds of a collector."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

SESSIONS = Counter(
    "bestex_feed_sessions_total", "Sessions that began, each with books from nothing.", ["venue"]
)
BREAKS = Counter("bestex_feed_breaks_total", "Sessions that broke, by the error.", ["venue", "error"])
ANEW = Counter(
    "bestex_feed_books_anew_total", "Single books that were made anew, by the cause.", ["venue", "cause"]
)
KNOWN = Gauge("bestex_feed_books_known", "Symbols whose book is known.", ["venue"])
AHEAD = Gauge("bestex_feed_clock_ahead_seconds", "The venue's clock less ours; negative: behind.", ["venue"])
AHEAD_ERROR = Gauge(
    "bestex_feed_clock_error_seconds", "How wrong that may be; NaN where it was not asked.", ["venue"]
)
LATE = Gauge("bestex_feed_late_seconds", "How long the last message was under way at the least.", ["venue"])
