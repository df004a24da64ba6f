"""C99 source for firmware: tables and functions, without allocation or libraries."""
