-- Estimates of hours that no camera gave, and in the figures the share of people that was estimated.

CREATE TABLE retail.imputed_hours (
  sensor_id  uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  hour_start timestamptz NOT NULL,
  entries    numeric CONSTRAINT entries_are_not_negative CHECK (entries >= 0 AND entries < 'Infinity'),
  exits      numeric CONSTRAINT exits_are_not_negative CHECK (exits >= 0 AND exits < 'Infinity'),
  passersby  numeric CONSTRAINT passersby_are_not_negative CHECK (passersby >= 0 AND passersby < 'Infinity'),
  quality    text NOT NULL CONSTRAINT quality_is_of_an_estimate CHECK (quality IN ('estimated', 'substituted')),
  method     text NOT NULL CONSTRAINT method_is_known
    CHECK (method IN ('ratio_interpolation', 'linear_interpolation', 'day_level', 'sister_doors', 'like_days')),
  donors     jsonb NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT imputed_hours_pkey PRIMARY KEY (sensor_id, hour_start),
  CONSTRAINT something_is_counted CHECK (num_nonnulls(entries, exits, passersby) > 0)
);
CREATE INDEX imputed_hours_hour ON retail.imputed_hours (hour_start);

ALTER TABLE retail.hourly_analytics ADD COLUMN imputed_share double precision
  CONSTRAINT imputed_share_is_a_share CHECK (imputed_share BETWEEN 0 AND 1);
ALTER TABLE retail.store_hourly ADD COLUMN imputed_share double precision
  CONSTRAINT imputed_share_is_a_share CHECK (imputed_share BETWEEN 0 AND 1);
ALTER TABLE retail.daily_analytics ADD COLUMN imputed_share double precision
  CONSTRAINT imputed_share_is_a_share CHECK (imputed_share BETWEEN 0 AND 1);
ALTER TABLE retail.store_daily ADD COLUMN imputed_share double precision
  CONSTRAINT imputed_share_is_a_share CHECK (imputed_share BETWEEN 0 AND 1);

-- A run looks for estimates around its hours that have changed since; almost no hour has one.
CREATE INDEX hourly_analytics_imputed ON retail.hourly_analytics (hour_start) WHERE imputed_share > 0;
CREATE INDEX store_hourly_imputed ON retail.store_hourly (hour_start) WHERE imputed_share > 0;
