"""How anything is asked for: as whom, under which key, page by page, as a view."""
