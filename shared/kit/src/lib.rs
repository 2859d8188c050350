//! What every program shares: clock, configuration, telemetry, shutdown, retry with back-off.
