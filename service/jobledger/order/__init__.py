"""The order of the log: sealed blocks, cursors, and readers that follow without gap or repeat."""
