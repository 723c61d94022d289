"""The call about templates of specs."""

from __future__ import annotations

import json

from local_runner.server.call import Call
from local_runner.server.schema import Message, from_document, new
from local_runner.server.web import text_at


def render_template(call: Call, request: Message) -> Message:
    """The specs that a jsonnet template makes, as text and as messages. Raises `SpecError`."""
    from local_runner.specs.jsonnet import render_jsonnet
    from local_runner.specs.read import read_documents

    text = render_jsonnet(request.template, "template", dict(request.args), text_at)
    documents = [document.values for document in read_documents(text, "template")]
    specs = [from_document("pps_v2.CreatePipelineRequest", document) for document in documents]
    return new("pps_v2.RenderTemplateResponse", json=json.dumps(json.loads(text)), specs=specs)
