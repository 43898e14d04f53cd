-- What stood out in the counts of a camera. review_notes belongs to people: runs leave it alone.

CREATE TABLE retail.anomalies_detected (
  sensor_id              uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  date                   date NOT NULL,
  detected_at            timestamptz NOT NULL,
  started_at             timestamptz NOT NULL,
  ended_at               timestamptz NOT NULL,
  anomaly_type           text NOT NULL
    CONSTRAINT anomaly_type_is_known CHECK (
      anomaly_type IN ('traffic_spike', 'traffic_drop', 'unusual_pattern', 'sensor_issue', 'data_gap')),
  severity               double precision NOT NULL CONSTRAINT severity_is_0_to_1 CHECK (severity BETWEEN 0 AND 1),
  confidence             double precision NOT NULL CONSTRAINT confidence_is_0_to_1 CHECK (confidence BETWEEN 0 AND 1),
  affected_metric        text NOT NULL,
  affected_component     text,
  expected_value         double precision
    CONSTRAINT expected_value_is_a_number CHECK (expected_value > '-Infinity' AND expected_value < 'Infinity'),
  actual_value           double precision
    CONSTRAINT actual_value_is_a_number CHECK (actual_value > '-Infinity' AND actual_value < 'Infinity'),
  deviation_percent      double precision
    CONSTRAINT deviation_percent_is_a_number CHECK (deviation_percent > '-Infinity' AND deviation_percent < 'Infinity'),
  deviation_stddev       double precision
    CONSTRAINT deviation_stddev_is_a_number CHECK (deviation_stddev > '-Infinity' AND deviation_stddev < 'Infinity'),
  context                jsonb NOT NULL,
  potential_causes       jsonb NOT NULL,
  recommended_actions    jsonb NOT NULL,
  auto_resolved          boolean NOT NULL,
  manual_review_required boolean NOT NULL,
  quality                jsonb NOT NULL,
  review_notes           text,
  updated_at             timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT anomalies_detected_pkey PRIMARY KEY (sensor_id, anomaly_type, affected_metric, started_at),
  CONSTRAINT anomaly_ends_after_it_starts CHECK (ended_at > started_at),
  CONSTRAINT anomaly_is_detected_after_it_starts CHECK (detected_at > started_at)
);
CREATE INDEX anomalies_detected_date ON retail.anomalies_detected (date);
CREATE INDEX anomalies_detected_open ON retail.anomalies_detected (detected_at) WHERE NOT auto_resolved;
