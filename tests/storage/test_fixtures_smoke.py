from tests.conftest import Record, Rows
from tests.events import event
from tests.storage.conftest import PutMandate
import pytest
@pytest.mark.parametrize("n", range(40))
def test_a(n, record, rows, put_mandate):
    put_mandate(users=["ada"])
    print(record(event(), event(), b"x"))
    assert len(rows("select * from transactions")) == 3
