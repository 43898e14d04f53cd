-- How each camera answers, as of the last look.

CREATE TABLE retail.camera_health (
  sensor_id            uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  state                text NOT NULL
    CONSTRAINT camera_state_is_known CHECK (state IN ('healthy', 'degraded', 'offline', 'unknown')),
  last_asked_at        timestamptz,
  last_seen_at         timestamptz,
  last_error           text,
  last_error_class     text,
  last_error_at        timestamptz,
  latency_ms           double precision
    CONSTRAINT latency_is_not_negative CHECK (latency_ms >= 0 AND latency_ms < 'Infinity'),
  error_rate           double precision CONSTRAINT error_rate_is_a_share CHECK (error_rate BETWEEN 0 AND 1),
  uptime_share         double precision CONSTRAINT uptime_share_is_a_share CHECK (uptime_share BETWEEN 0 AND 1),
  uptime_hours         integer NOT NULL
    CONSTRAINT uptime_hours_are_of_7_days CHECK (uptime_hours BETWEEN 0 AND 169),
  clock_offset_seconds double precision
    CONSTRAINT clock_offset_is_a_number CHECK (clock_offset_seconds > '-Infinity' AND clock_offset_seconds < 'Infinity'),
  checked_at           timestamptz NOT NULL,
  quality              jsonb NOT NULL,
  updated_at           timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT camera_health_pkey PRIMARY KEY (sensor_id),
  CONSTRAINT an_error_has_a_class_and_a_time
    CHECK ((last_error_class IS NULL) = (last_error_at IS NULL) AND (last_error IS NULL OR last_error_class IS NOT NULL)),
  CONSTRAINT an_uptime_share_is_of_some_hours CHECK ((uptime_share IS NULL) = (uptime_hours = 0)),
  CONSTRAINT nothing_is_seen_after_the_look CHECK (last_asked_at <= checked_at AND last_seen_at <= checked_at)
);
