"""Drawing a page: Markdown, HTML, terminal, pictures."""
