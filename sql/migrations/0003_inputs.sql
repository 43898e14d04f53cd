-- What the store brings beside its cameras: holidays, till feed, staff, weather, counted queues.

CREATE TABLE retail.holidays (
  country      text NOT NULL CONSTRAINT holiday_country_has_two_letters CHECK (country ~ '^[A-Z]{2}$'),
  subdivision  text NOT NULL DEFAULT '',
  date         date NOT NULL,
  holiday_name text NOT NULL CONSTRAINT holiday_name_is_not_empty CHECK (holiday_name <> ''),
  kind         text NOT NULL CONSTRAINT holiday_kind_is_known CHECK (kind IN ('public', 'school')),
  source       text NOT NULL CONSTRAINT holiday_source_is_known CHECK (source IN ('library', 'file')),
  updated_at   timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT holidays_pkey PRIMARY KEY (country, subdivision, date, holiday_name),
  CONSTRAINT school_holidays_come_from_files CHECK (kind = 'public' OR source = 'file')
);
CREATE INDEX holidays_date ON retail.holidays (date);

CREATE TABLE retail.store_subdivisions (
  store_id    uuid NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
  subdivision text NOT NULL CONSTRAINT subdivision_is_not_empty CHECK (subdivision <> ''),
  updated_at  timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT store_subdivisions_pkey PRIMARY KEY (store_id)
);

CREATE TABLE retail.pos_transactions (
  store_id     uuid NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
  hour_start   timestamptz NOT NULL,
  transactions integer NOT NULL CONSTRAINT transactions_are_not_negative CHECK (transactions >= 0),
  sales        numeric CONSTRAINT sales_are_not_negative CHECK (sales >= 0 AND sales < 'Infinity'),
  units        numeric CONSTRAINT units_are_not_negative CHECK (units >= 0 AND units < 'Infinity'),
  currency     text CONSTRAINT currency_has_three_letters CHECK (currency ~ '^[A-Z]{3}$'),
  updated_at   timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pos_transactions_pkey PRIMARY KEY (store_id, hour_start),
  CONSTRAINT sales_have_a_currency CHECK ((sales IS NULL) = (currency IS NULL))
);
CREATE INDEX pos_transactions_hour ON retail.pos_transactions (hour_start);

CREATE TABLE retail.staff_hours (
  store_id   uuid NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
  hour_start timestamptz NOT NULL,
  staff      numeric NOT NULL CONSTRAINT staff_is_not_negative CHECK (staff >= 0 AND staff < 'Infinity'),
  lanes_open numeric CONSTRAINT lanes_open_are_not_negative CHECK (lanes_open >= 0 AND lanes_open < 'Infinity'),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT staff_hours_pkey PRIMARY KEY (store_id, hour_start)
);
CREATE INDEX staff_hours_hour ON retail.staff_hours (hour_start);

CREATE TABLE retail.weather_hourly (
  store_id         uuid NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
  hour_start       timestamptz NOT NULL,
  temperature_c    double precision
    CONSTRAINT temperature_is_of_this_world CHECK (temperature_c BETWEEN -90 AND 60),
  precipitation_mm double precision
    CONSTRAINT precipitation_is_of_this_world CHECK (precipitation_mm BETWEEN 0 AND 500),
  wind_kmh         double precision CONSTRAINT wind_is_of_this_world CHECK (wind_kmh BETWEEN 0 AND 450),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT weather_hourly_pkey PRIMARY KEY (store_id, hour_start),
  CONSTRAINT weather_says_something CHECK (num_nonnulls(temperature_c, precipitation_mm, wind_kmh) > 0)
);
CREATE INDEX weather_hourly_hour ON retail.weather_hourly (hour_start);

CREATE TABLE retail.queue_ground_truth (
  store_id            uuid NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
  hour_start          timestamptz NOT NULL,
  minutes_counted     integer NOT NULL CONSTRAINT minutes_counted_are_1_to_60 CHECK (minutes_counted BETWEEN 1 AND 60),
  actual_queue_length numeric
    CONSTRAINT queue_length_is_not_negative CHECK (actual_queue_length >= 0 AND actual_queue_length < 'Infinity'),
  actual_wait_minutes numeric
    CONSTRAINT wait_is_not_negative CHECK (actual_wait_minutes >= 0 AND actual_wait_minutes < 'Infinity'),
  served              integer CONSTRAINT served_are_not_negative CHECK (served >= 0),
  abandoned           integer CONSTRAINT abandoned_are_not_negative CHECK (abandoned >= 0),
  counted_by          text NOT NULL CONSTRAINT counted_by_is_not_empty CHECK (counted_by <> ''),
  updated_at          timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT queue_ground_truth_pkey PRIMARY KEY (store_id, hour_start),
  CONSTRAINT something_was_counted
    CHECK (num_nonnulls(actual_queue_length, actual_wait_minutes, served, abandoned) > 0)
);
CREATE INDEX queue_ground_truth_hour ON retail.queue_ground_truth (hour_start);

CREATE TABLE retail.retail_calendar (
  date               date NOT NULL,
  retail_year        integer NOT NULL,
  retail_week        integer NOT NULL CONSTRAINT retail_week_is_1_to_53 CHECK (retail_week BETWEEN 1 AND 53),
  retail_period      integer NOT NULL CONSTRAINT retail_period_is_1_to_12 CHECK (retail_period BETWEEN 1 AND 12),
  retail_weekday     integer NOT NULL CONSTRAINT retail_weekday_is_1_to_7 CHECK (retail_weekday BETWEEN 1 AND 7),
  like_for_like_date date NOT NULL,
  same_week_date     date,
  updated_at         timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT retail_calendar_pkey PRIMARY KEY (date)
);
