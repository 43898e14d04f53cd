-- What cameras answer about local days that have ended: how long people stay in regions, and where in the picture they are.

CREATE TABLE retail.region_stays (
  sensor_id         uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  region_number     integer NOT NULL CONSTRAINT region_of_stays_is_1_to_4 CHECK (region_number BETWEEN 1 AND 4),
  date              date NOT NULL,
  detections        double precision
    CONSTRAINT detections_are_not_negative CHECK (detections >= 0 AND detections < 'Infinity'),
  stay_over_5_s     double precision
    CONSTRAINT stay_over_5_s_is_a_share CHECK (stay_over_5_s BETWEEN 0 AND 1),
  stay_over_10_s    double precision
    CONSTRAINT stay_over_10_s_is_a_share CHECK (stay_over_10_s BETWEEN 0 AND 1),
  stay_over_30_s    double precision
    CONSTRAINT stay_over_30_s_is_a_share CHECK (stay_over_30_s BETWEEN 0 AND 1),
  stay_over_60_s    double precision
    CONSTRAINT stay_over_60_s_is_a_share CHECK (stay_over_60_s BETWEEN 0 AND 1),
  stay_over_100_s   double precision
    CONSTRAINT stay_over_100_s_is_a_share CHECK (stay_over_100_s BETWEEN 0 AND 1),
  stay_over_300_s   double precision
    CONSTRAINT stay_over_300_s_is_a_share CHECK (stay_over_300_s BETWEEN 0 AND 1),
  stay_over_600_s   double precision
    CONSTRAINT stay_over_600_s_is_a_share CHECK (stay_over_600_s BETWEEN 0 AND 1),
  stay_over_1800_s  double precision
    CONSTRAINT stay_over_1800_s_is_a_share CHECK (stay_over_1800_s BETWEEN 0 AND 1),
  mean_stay_seconds double precision
    CONSTRAINT mean_stay_is_within_the_longest_length CHECK (mean_stay_seconds BETWEEN 0 AND 1800),
  short_stay_share  double precision
    CONSTRAINT short_stay_share_is_a_share CHECK (short_stay_share BETWEEN 0 AND 1),
  quality           jsonb NOT NULL CONSTRAINT quality_of_stays_is_an_object CHECK (jsonb_typeof(quality) = 'object'),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT region_stays_pkey PRIMARY KEY (sensor_id, region_number, date),
  CONSTRAINT fewer_stay_longer CHECK (
    stay_over_10_s <= stay_over_5_s
    AND stay_over_30_s <= stay_over_10_s
    AND stay_over_60_s <= stay_over_30_s
    AND stay_over_100_s <= stay_over_60_s
    AND stay_over_300_s <= stay_over_100_s
    AND stay_over_600_s <= stay_over_300_s
    AND stay_over_1800_s <= stay_over_600_s)
);
CREATE INDEX region_stays_date ON retail.region_stays USING brin (date);

CREATE TABLE retail.heatmap_spatial_raw (
  sensor_id                uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  date                     date NOT NULL,
  map_w                    integer NOT NULL CONSTRAINT map_w_is_1_to_1024 CHECK (map_w BETWEEN 1 AND 1024),
  map_h                    integer NOT NULL CONSTRAINT map_h_is_1_to_1024 CHECK (map_h BETWEEN 1 AND 1024),
  max                      bigint CONSTRAINT max_is_not_negative CHECK (max >= 0),
  cells                    bytea NOT NULL,
  rejected_points          integer NOT NULL CONSTRAINT rejected_points_are_not_negative CHECK (rejected_points >= 0),
  total_seconds            double precision NOT NULL
    CONSTRAINT total_seconds_are_not_negative CHECK (total_seconds >= 0 AND total_seconds < 'Infinity'),
  mean_seconds             double precision NOT NULL
    CONSTRAINT mean_seconds_are_not_negative CHECK (mean_seconds >= 0 AND mean_seconds < 'Infinity'),
  max_seconds              double precision NOT NULL
    CONSTRAINT max_seconds_are_not_negative CHECK (max_seconds >= 0 AND max_seconds < 'Infinity'),
  variance_seconds_squared double precision NOT NULL
    CONSTRAINT variance_is_not_negative CHECK (variance_seconds_squared >= 0 AND variance_seconds_squared < 'Infinity'),
  collected_at             timestamptz NOT NULL,
  updated_at               timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT heatmap_spatial_raw_pkey PRIMARY KEY (sensor_id, date)
);
-- The cells come compressed: a second compression costs time and gains nothing.
ALTER TABLE retail.heatmap_spatial_raw ALTER COLUMN cells SET STORAGE EXTERNAL;
CREATE INDEX heatmap_spatial_raw_date ON retail.heatmap_spatial_raw USING brin (date);

-- A camera that is asked for everything is asked for these as well; what it refuses is a line of the log.
UPDATE retail.sensor_metadata
SET endpoints = endpoints || '["region_stays", "spatial_heatmap"]'
WHERE endpoints @> '["people_counting", "regional_counting", "heatmap_temporal", "vca_alarm_status"]'
  AND NOT endpoints ?| ARRAY['region_stays', 'spatial_heatmap'];
