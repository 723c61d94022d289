from hypothesis import given
from hypothesis import strategies as st

from local_runner.engine.batching.protos import messages, next_datum_response


@given(st.lists(st.text(max_size=300)))
def test_a_response_written_by_hand_is_what_protobuf_writes(env: list[str]) -> None:
    _, response = messages()
    assert next_datum_response(env) == response(env=env).SerializeToString()
