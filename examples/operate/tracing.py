"""Requests, and the commands that they send to MongoDB, traced by OpenTelemetry."""

import falcon
from opentelemetry import trace
from opentelemetry.instrumentation.falcon import FalconInstrumentor
from opentelemetry.instrumentation.pymongo import PymongoInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

import falcorest


def create_app(exporter: SpanExporter) -> falcon.App:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    # Before the application, and the client of the database, are made.
    FalconInstrumentor().instrument()
    PymongoInstrumentor().instrument()
    return falcorest.create_app()
