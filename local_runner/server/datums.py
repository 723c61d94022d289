"""Calls about datums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from local_runner.errors import Invalid
from local_runner.model.datums import DatumInfo
from local_runner.model.names import DEFAULT_PROJECT
from local_runner.server import infos, refs
from local_runner.server.call import Call
from local_runner.server.schema import Message, message_class, nothing, to_document

_AT_ONCE = 500  # datums, if a client does not say how many


def list_datum(call: Call, request: Message) -> Iterator[Message]:
    """Of a job, or those that an input would make."""
    if request.HasField("input"):
        if request.HasField("job"):
            raise Invalid("must specify either a Job or an Input, but not both")
        possible = call.runner.list_datum_of({"input": to_document(request.input)}, DEFAULT_PROJECT)
        return (infos.datum_info(info) for info in _bounded(possible, request))
    job = refs.job(refs.given(request, "job"))
    return (infos.datum_info(info, job) for info in _bounded(call.runner.list_datum(job), request))


def _bounded(found: Iterable[DatumInfo], request: Message) -> Iterator[DatumInfo]:
    """In these states, beyond the marker, at most so many; by id, or the other way. Raises `Invalid`."""
    if request.number < 0:
        raise Invalid(f"cannot list {request.number} datums")
    if request.filter.state:
        names = message_class("pps_v2.DatumInfo").DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number
        wanted = {names[number].name.lower() for number in request.filter.state if number in names}
        found = (info for info in found if info.state in wanted)
    if request.reverse:
        found = reversed(list(found))
    if marker := request.paginationMarker:
        found = (info for info in found if (info.datum.id < marker if request.reverse else info.datum.id > marker))
    return islice(found, request.number or None)


def create_datum(call: Call, requests: Iterator[Message]) -> Iterator[Message]:
    """The datums that an input makes, so many at a time as each message asks for; the stream ends when there are no more."""
    found: Iterator[DatumInfo] | None = None
    for request in requests:
        if found is None:
            if request.WhichOneof("body") != "start":
                raise Invalid("first message must be a StartCreateDatumRequest message")
            spec = {"input": to_document(refs.given(request.start, "input"))}
            found, wanted = call.runner.list_datum_of(spec, DEFAULT_PROJECT), request.start.number
        elif request.WhichOneof("body") != "continue":
            raise Invalid("expected ContinueCreateDatumRequest message after StartCreateDatumRequest message")
        else:
            wanted = getattr(request, "continue").number
        if wanted < 0:
            raise Invalid(f"cannot list {wanted} datums")
        some = list(islice(found, wanted or _AT_ONCE))
        yield from map(infos.datum_info, some)
        if len(some) < (wanted or _AT_ONCE):
            return


def inspect_datum(call: Call, request: Message) -> Message:
    datum = refs.given(request, "datum")
    job = refs.job(refs.given(datum, "job"))
    return infos.datum_info(call.runner.inspect_datum(job, datum.id), job)


def restart_datum(call: Call, request: Message) -> Message:
    call.runner.restart_datum(refs.job(refs.given(request, "job")), list(request.data_filters))
    return nothing()
