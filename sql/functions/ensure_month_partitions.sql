-- Makes the native monthly partitions of a table that the span from p_from to p_until (exclusive) needs; returns how many.
-- An end before its start, a span of more than 100 years and a table without months are errors.
-- Called by the migration and by maintenance ahead of need, and by the loader when history arrives.

CREATE OR REPLACE FUNCTION retail.ensure_month_partitions(p_table text, p_from timestamptz, p_until timestamptz) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  v_month     timestamptz := pg_catalog.date_trunc('month', p_from);
  v_partition text;
  v_made      integer := 0;
  v_time      text;
BEGIN
  IF (isfinite(p_from) AND isfinite(p_until) AND p_until >= p_from AND p_until <= p_from + interval '100 years') IS NOT TRUE THEN
    RAISE invalid_parameter_value USING MESSAGE = pg_catalog.format(
      'Months from %s to %s cannot be made: give two instants, the end not before the start and at most 100 years after it.',
      coalesce(p_from::text, 'NULL'), coalesce(p_until::text, 'NULL'));
  ELSIF NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c
                    WHERE c.relname = p_table AND c.relkind = 'p' AND c.relnamespace = 'retail'::pg_catalog.regnamespace) THEN
    RAISE invalid_parameter_value USING
      MESSAGE = pg_catalog.format('There is no table %s that is cut into months.', coalesce(p_table, 'NULL'));
  END IF;
  WHILE v_month < p_until LOOP
    v_partition := p_table || pg_catalog.to_char(v_month, '"_y"YYYY"m"MM');
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_class
                   WHERE relname = v_partition AND relnamespace = 'retail'::pg_catalog.regnamespace) THEN
      -- One transaction at a time makes partitions: the second waits here and finds its month made. A lock for each
      -- month would not do, since ATTACH also locks sensor_metadata until the transaction ends.
      PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('retail partitions', 0));
      -- Asked by a query: to_regclass looks into a cache that waiting for an advisory lock does not refresh.
      IF NOT EXISTS (SELECT FROM pg_catalog.pg_class
                     WHERE relname = v_partition AND relnamespace = 'retail'::pg_catalog.regnamespace) THEN
        -- LIKE and ATTACH lock the parent more lightly than CREATE ... PARTITION OF: readers and writers go on.
        EXECUTE pg_catalog.format(
          'CREATE TABLE retail.%I (LIKE retail.%I INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS)',
          v_partition, p_table);
        -- A grant on a month by itself shows nothing: policies stand at its table. Not forced: its owner archives it.
        IF (SELECT c.relrowsecurity FROM pg_catalog.pg_class AS c
            WHERE c.oid = pg_catalog.format('retail.%I', p_table)::pg_catalog.regclass) THEN
          EXECUTE pg_catalog.format('ALTER TABLE retail.%I ENABLE ROW LEVEL SECURITY', v_partition);
        END IF;
        EXECUTE pg_catalog.format(
          'ALTER TABLE retail.%I ATTACH PARTITION retail.%I FOR VALUES FROM (%L) TO (%L)',
          p_table, v_partition, v_month, v_month + interval '1 month');
        SELECT a.attname INTO v_time
        FROM pg_catalog.pg_partitioned_table AS p
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
        WHERE p.partrelid = pg_catalog.format('retail.%I', p_table)::pg_catalog.regclass;
        EXECUTE pg_catalog.format('CREATE INDEX ON retail.%I USING brin (%I)', v_partition, v_time);
        EXECUTE pg_catalog.format('COMMENT ON TABLE retail.%I IS %L', v_partition,
          pg_catalog.format('One month (UTC) of %s, which is the table to ask: nobody is granted a month by itself.', p_table));
        v_made := v_made + 1;
      END IF;
    END IF;
    v_month := v_month + interval '1 month';
  END LOOP;
  RETURN v_made;
END
$$;
