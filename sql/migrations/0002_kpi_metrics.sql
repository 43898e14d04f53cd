-- Key figures of stores by local day, in long form: a new figure is a new row, not a new column.

CREATE TABLE retail.kpi_metrics (
  scope             text NOT NULL CONSTRAINT kpi_scope_is_known CHECK (scope = 'store'),
  scope_id          uuid NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
  date              date NOT NULL,
  metric_name       text NOT NULL,
  metric_value      double precision NOT NULL
    CONSTRAINT metric_value_is_a_number CHECK (metric_value > '-Infinity' AND metric_value < 'Infinity'),
  metric_unit       text NOT NULL,
  category          text NOT NULL
    CONSTRAINT kpi_category_is_known CHECK (category IN ('traffic', 'conversion', 'efficiency', 'queue', 'revenue')),
  subcategory       text NOT NULL,
  benchmark_value   double precision,
  benchmark_source  text CONSTRAINT benchmark_source_is_known CHECK (benchmark_source IN ('own_history', 'peer_stores')),
  performance_score double precision
    CONSTRAINT performance_score_is_0_to_100 CHECK (performance_score BETWEEN 0 AND 100),
  trend             text CONSTRAINT trend_is_known CHECK (trend IN ('improving', 'stable', 'declining')),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT kpi_metrics_pkey PRIMARY KEY (scope, scope_id, date, metric_name),
  CONSTRAINT benchmark_has_a_source CHECK ((benchmark_value IS NULL) = (benchmark_source IS NULL))
);
CREATE INDEX kpi_metrics_date ON retail.kpi_metrics (date);
