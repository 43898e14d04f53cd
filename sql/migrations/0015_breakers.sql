-- Cameras at whose address nobody answers, which are left alone for a while; and what finds late rows without reading all.

CREATE TABLE retail.camera_breakers (
  sensor_id        uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  state            text NOT NULL
    CONSTRAINT breaker_state_is_known CHECK (state IN ('closed', 'open', 'half_open')),
  failures         integer NOT NULL CONSTRAINT failures_are_positive CHECK (failures > 0),
  opened_at        timestamptz,
  next_probe_at    timestamptz,
  last_error_class text NOT NULL
    CONSTRAINT breaker_counts_only_addresses_without_an_answer CHECK (last_error_class IN ('refused', 'timeout')),
  last_failed_at   timestamptz NOT NULL,
  run_id           text NOT NULL,
  updated_at       timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT camera_breakers_pkey PRIMARY KEY (sensor_id),
  CONSTRAINT a_closed_breaker_has_not_opened_and_another_has
    CHECK ((state = 'closed') = (opened_at IS NULL) AND (state = 'closed') = (next_probe_at IS NULL))
);

CREATE TRIGGER touch BEFORE UPDATE ON retail.camera_breakers
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION retail.touch_updated_at();

CREATE TRIGGER forget_breaker AFTER UPDATE OF is_active, sensor_ip, sensor_port ON retail.sensor_metadata
  FOR EACH ROW WHEN (
    OLD.is_active <> NEW.is_active OR OLD.sensor_ip <> NEW.sensor_ip OR OLD.sensor_port <> NEW.sensor_port)
  EXECUTE FUNCTION retail.forget_breaker();

ALTER TABLE retail.camera_health
  ADD COLUMN breaker_state text
    CONSTRAINT breaker_state_of_a_camera_is_known CHECK (breaker_state IN ('closed', 'open', 'half_open')),
  ADD COLUMN left_alone_since timestamptz,
  ADD CONSTRAINT a_camera_is_left_alone_while_its_breaker_is_not_closed
    CHECK ((breaker_state IN ('open', 'half_open')) IS TRUE = (left_alone_since IS NOT NULL));

-- What was written last lies together: a range of pages in which nothing is new is skipped by its highest instant.
CREATE INDEX people_counting_raw_updated ON retail.people_counting_raw USING brin (updated_at) WITH (autosummarize = on);
CREATE INDEX regional_counting_raw_updated ON retail.regional_counting_raw USING brin (updated_at) WITH (autosummarize = on);
CREATE INDEX heatmap_temporal_raw_updated ON retail.heatmap_temporal_raw USING brin (updated_at) WITH (autosummarize = on);
CREATE INDEX pos_transactions_updated ON retail.pos_transactions USING brin (updated_at) WITH (autosummarize = on);
CREATE INDEX staff_hours_updated ON retail.staff_hours USING brin (updated_at) WITH (autosummarize = on);
