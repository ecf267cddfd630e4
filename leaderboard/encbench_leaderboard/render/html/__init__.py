"""The leaderboard as one HTML file that works offline: sortable, filterable, with live plots."""

from encbench_leaderboard.render.html.build import html_page, write_html

__all__ = ["html_page", "write_html"]
