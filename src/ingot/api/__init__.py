"""The HTTP API: one file a resource. It knows neither builder nor machine."""
