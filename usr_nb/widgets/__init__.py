"""The panels' widgets: one anywidget per file, its messages typed. Made by ``usr_nb.panel``."""
