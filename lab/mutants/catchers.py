"""The general checks that are to catch mutants, as pytest names them."""

INTERLEAVED = "tests/interleaved/test_interleaved.py::test_a_few_hundred_histories_are_as_if_done_one_after_another"
MODEL_OF_PRICES = "tests/books/test_price_model.py::test_the_books_agree_with_the_model_of_prices"
DAY = "tests/mutants/test_scenario.py::test_a_day_of_books"
DAY_OF_PRICES = "tests/mutants/test_scenario.py::test_a_day_of_prices"
ODD_INPUT = "tests/mutants/test_scenario.py::test_odd_input"
