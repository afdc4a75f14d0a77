//! Logs, request ids and the metrics registry.
