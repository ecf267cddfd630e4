"""A page as one HTML file that works offline: tables by DataTables, figures by Plotly."""

from encbench_leaderboard.render.html.document import html_page, write_html

__all__ = ["html_page", "write_html"]
