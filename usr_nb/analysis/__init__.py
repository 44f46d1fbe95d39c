"""Analysis: samples, filters and summaries that panels show and scripts call."""
