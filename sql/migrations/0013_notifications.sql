-- Where alerts are sent, and the messages: an outbox that is a log once they are sent.

CREATE TABLE retail.alert_routes (
  id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  route_name        text NOT NULL
    CONSTRAINT a_route_of_a_name_is_one UNIQUE
    CONSTRAINT route_name_is_a_word CHECK (route_name ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$'),
  target_reference  text NOT NULL
    CONSTRAINT target_is_a_reference CHECK (target_reference ~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$'),
  secret_reference  text
    CONSTRAINT secret_is_a_reference CHECK (secret_reference ~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$'),
  organization_id   uuid REFERENCES retail.organizations (id) ON DELETE CASCADE,
  store_id          uuid REFERENCES retail.stores (id) ON DELETE CASCADE,
  min_severity      text NOT NULL
    CONSTRAINT min_severity_is_known CHECK (min_severity IN ('warning', 'critical')),
  rules             jsonb NOT NULL CONSTRAINT rules_is_an_array CHECK (jsonb_typeof(rules) = 'array'),
  alert_types       jsonb NOT NULL
    CONSTRAINT alert_types_of_a_route_are_known
      CHECK (alert_types <@ '["capacity", "queue", "conversion", "anomaly", "system"]'),
  cameras           jsonb NOT NULL CONSTRAINT cameras_is_an_array CHECK (jsonb_typeof(cameras) = 'array'),
  events            jsonb NOT NULL
    CONSTRAINT events_of_a_route_are_known
      CHECK (events <@ '["raised", "severity_raised", "escalated", "resolved", "run_failed"]')
    CONSTRAINT a_route_has_an_event CHECK (jsonb_array_length(events) > 0),
  quiet_from        time,
  quiet_until       time,
  is_critical_held  boolean NOT NULL DEFAULT false,
  cool_down_minutes integer NOT NULL
    CONSTRAINT cool_down_of_a_route_is_at_most_30_days CHECK (cool_down_minutes BETWEEN 0 AND 43200),
  is_enabled        boolean NOT NULL DEFAULT true,
  updated_at        timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT quiet_hours_have_a_beginning_and_an_end
    CHECK ((quiet_from IS NULL) = (quiet_until IS NULL) AND quiet_from <> quiet_until)
);

CREATE TRIGGER touch BEFORE UPDATE ON retail.alert_routes
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION retail.touch_updated_at();

CREATE TABLE retail.notifications (
  id          uuid PRIMARY KEY,
  route_id    uuid NOT NULL REFERENCES retail.alert_routes (id) ON DELETE CASCADE,
  event       text NOT NULL
    CONSTRAINT event_is_known
      CHECK (event IN ('raised', 'severity_raised', 'escalated', 'resolved', 'run_failed', 'summary', 'test')),
  alert_id    uuid REFERENCES retail.alerts_generated (id) ON DELETE CASCADE,
  run_id      text,
  event_at    timestamptz NOT NULL,
  topic       text NOT NULL,
  severity    text NOT NULL
    CONSTRAINT severity_of_a_message_is_known CHECK (severity IN ('warning', 'critical')),
  title       text NOT NULL,
  body        text NOT NULL,
  payload     jsonb NOT NULL CONSTRAINT payload_is_an_object CHECK (jsonb_typeof(payload) = 'object'),
  state       text NOT NULL
    CONSTRAINT state_of_a_message_is_known CHECK (state IN ('pending', 'sent', 'held', 'dropped', 'failed')),
  held_for    text CONSTRAINT held_for_is_known CHECK (held_for IN ('quiet_hours', 'cool_down')),
  reason      text,
  summary_id  uuid REFERENCES retail.notifications (id) ON DELETE CASCADE,
  attempts    integer NOT NULL CONSTRAINT attempts_is_not_negative CHECK (attempts >= 0),
  next_try_at timestamptz,
  sent_at     timestamptz,
  last_error  text,
  created_at  timestamptz NOT NULL DEFAULT now(),
  updated_at  timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT an_event_of_an_alert_is_told_once_to_a_route
    UNIQUE NULLS NOT DISTINCT (route_id, alert_id, run_id, event, event_at),
  CONSTRAINT what_happened_to_an_alert_names_it
    CHECK ((event IN ('raised', 'severity_raised', 'escalated', 'resolved')) = (alert_id IS NOT NULL)),
  CONSTRAINT a_failed_run_is_named CHECK ((event = 'run_failed') = (run_id IS NOT NULL)),
  CONSTRAINT a_message_that_was_sent_has_a_time CHECK ((state = 'sent') = (sent_at IS NOT NULL)),
  CONSTRAINT a_message_that_waits_says_until_when CHECK (state NOT IN ('pending', 'held') OR next_try_at IS NOT NULL),
  CONSTRAINT what_is_held_says_what_for CHECK (state <> 'held' OR held_for IS NOT NULL),
  CONSTRAINT what_is_dropped_says_why CHECK (state <> 'dropped' OR reason IS NOT NULL)
);
CREATE INDEX notifications_waiting ON retail.notifications (route_id, next_try_at) WHERE state IN ('pending', 'held');
CREATE INDEX notifications_event_at ON retail.notifications (event_at);
CREATE INDEX notifications_alert ON retail.notifications (alert_id);
CREATE INDEX notifications_summary ON retail.notifications (summary_id);

CREATE TRIGGER touch BEFORE UPDATE ON retail.notifications
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION retail.touch_updated_at();
