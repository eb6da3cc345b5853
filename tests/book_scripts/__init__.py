"""Scripts in the style of the book's chapters, after their class listings were deleted; `tests/test_book.py` runs them."""
