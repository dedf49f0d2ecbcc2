"""From a validated document to a golden snapshot: a pure plan, one loop that obeys it, a file a phase."""
