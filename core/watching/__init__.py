"""What an operator watches: the condition of the books, at a bounded cost however large they are."""
