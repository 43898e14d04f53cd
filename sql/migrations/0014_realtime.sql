-- What the cameras count by the minute.

CREATE TABLE retail.realtime_analytics (
  sensor_id                 uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  period_end                timestamptz NOT NULL,
  period_start              timestamptz,
  entries                   integer CONSTRAINT entries_of_a_minute_are_not_negative CHECK (entries >= 0),
  exits                     integer CONSTRAINT exits_of_a_minute_are_not_negative CHECK (exits >= 0),
  net_count                 integer,
  current_count             integer CONSTRAINT current_count_is_not_negative CHECK (current_count >= 0),
  current_occupancy_percent double precision
    CONSTRAINT occupancy_now_is_not_negative CHECK (current_occupancy_percent >= 0 AND current_occupancy_percent < 'Infinity'),
  count_trend               text
    CONSTRAINT count_trend_is_known CHECK (count_trend IN ('increasing', 'decreasing', 'stable')),
  peak_count                integer CONSTRAINT peak_count_is_not_negative CHECK (peak_count >= 0),
  peak_timestamp            timestamptz,
  average_count             double precision
    CONSTRAINT average_count_is_not_negative CHECK (average_count >= 0 AND average_count < 'Infinity'),
  observed_minutes          double precision NOT NULL
    CONSTRAINT observed_minutes_are_of_one_day CHECK (observed_minutes BETWEEN 0 AND 1560),
  hourly_count              integer CONSTRAINT hourly_count_is_not_negative CHECK (hourly_count >= 0),
  daily_count               integer CONSTRAINT daily_count_is_not_negative CHECK (daily_count >= 0),
  latency_ms                double precision
    CONSTRAINT latency_of_a_reading_is_not_negative CHECK (latency_ms >= 0 AND latency_ms < 'Infinity'),
  quality                   jsonb NOT NULL CONSTRAINT quality_of_a_minute_is_an_object CHECK (jsonb_typeof(quality) = 'object'),
  updated_at                timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT realtime_analytics_pkey PRIMARY KEY (sensor_id, period_end),
  CONSTRAINT a_period_ends_after_its_start CHECK (period_start < period_end),
  CONSTRAINT entries_and_exits_are_known_together CHECK ((entries IS NULL) = (exits IS NULL)),
  CONSTRAINT crossings_are_those_of_a_period CHECK (entries IS NULL OR period_start IS NOT NULL),
  CONSTRAINT a_peak_has_a_time_that_is_over
    CHECK ((peak_count IS NULL) = (peak_timestamp IS NULL) AND peak_timestamp <= period_end),
  CONSTRAINT nobody_is_now_beyond_the_peak CHECK (current_count <= peak_count),
  CONSTRAINT an_average_is_of_some_minutes CHECK ((average_count IS NULL) = (observed_minutes = 0)),
  CONSTRAINT a_share_or_a_trend_is_of_a_count
    CHECK (current_count IS NOT NULL OR (current_occupancy_percent IS NULL AND count_trend IS NULL))
);
CREATE INDEX realtime_analytics_period_end ON retail.realtime_analytics USING brin (period_end);

CREATE TRIGGER touch BEFORE UPDATE ON retail.realtime_analytics
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION retail.touch_updated_at();
