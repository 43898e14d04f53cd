-- Makes the roles, and gives every table of schema retail its grants and its row-level security, from its foreign keys.
-- A migration that adds or alters a table calls it at its end; the same again changes nothing. Returns the roles that the server did
-- not let us make: what stands without them works, and their grants come with the next call after somebody has made them.

CREATE OR REPLACE FUNCTION retail.guard_tables() RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- Who changes the fleet, its rules and its users owns the database; services only read them.
  v_registry CONSTANT text[] := ARRAY['organizations', 'stores', 'sensor_metadata', 'counting_lines', 'region_configurations',
    'region_adjacency', 'camera_locations', 'camera_groups', 'camera_group_assignments', 'fleet_changes', 'alert_rules',
    'alert_routes', 'user_sensor_access', 'retention_policies'];
  -- What cameras said and what became of asking them is written by retail_ingest, everything else by retail_transform.
  v_raw CONSTANT text[] := ARRAY['people_counting_raw', 'regional_counting_raw', 'heatmap_temporal_raw', 'vca_alarm_status',
    'collection_log', 'rejected_payloads', 'raw_revisions', 'region_stays', 'heatmap_spatial_raw', 'camera_breakers',
    'realtime_analytics'];
  -- What people of a store know themselves, and may write where they are granted it.
  v_contributed CONSTANT text[] := ARRAY['store_subdivisions', 'pos_transactions', 'staff_hours', 'weather_hourly',
    'queue_ground_truth', 'store_service'];
  -- The same for everybody.
  v_shared CONSTANT text[] := ARRAY['holidays', 'retail_calendar', 'prediction_model', 'retention_policies'];
  -- What readers never see: secrets' references, and what is made of many tenants' rows at once.
  v_hidden CONSTANT jsonb := '{
    "sensor_metadata": ["username", "password_reference"],
    "alert_routes": ["target_reference", "secret_reference"],
    "fleet_changes": ["old_value", "new_value"],
    "prediction_model": ["series_count", "learnt_series_count", "series_reasons", "backtest", "model", "quality"]}';
  v_organizations CONSTANT text := '((SELECT retail.organizations_of_user(%s))::pg_catalog.uuid[])';
  v_stores        CONSTANT text := '((SELECT retail.stores_of_user(%s))::pg_catalog.uuid[])';
  v_sensors       CONSTANT text := '((SELECT retail.sensors_of_user(%s))::pg_catalog.uuid[])';
  -- The same rows by two conditions: by the index of the cameras, which is right for a user of few; or row by row without a walk
  -- through an array, for who sees most of what is there. Earlier revisions have the first alone.
  v_sensors_read  CONSTANT text := CASE
    WHEN pg_catalog.to_regprocedure('retail.is_user_of_most_stores()') IS NULL
      THEN '%1$I = ANY (' || pg_catalog.format(v_sensors, 'false') || ')'
    ELSE 'CASE WHEN retail.is_user_of_most_stores()'
      ' THEN (SELECT retail.is_user_of_every_sensor()) OR %1$I IN (SELECT pg_catalog.unnest(retail.sensors_of_user(false)))'
      ' ELSE %1$I = ANY (' || pg_catalog.format(v_sensors, 'false') || ') END'
  END;
  v_missing  text[] := '{}';
  v_roles    text[];
  v_services text;
  v_role     text;
  v_table    record;
  v_key      record;
  v_columns  text;
  v_read     text;
  v_write    text;
  v_wider    text;
  v_one      text;
  v_is_about boolean;
BEGIN
  -- Roles belong to the server: another database may have brought them, or bring them at this moment.
  FOREACH v_role IN ARRAY ARRAY['retail_owner', 'retail_ingest', 'retail_transform', 'retail_reader', 'retail_writer',
                                'retail_gateway'] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = v_role) THEN
      BEGIN
        EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', v_role);
      EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL;
        WHEN insufficient_privilege THEN v_missing := v_missing || v_role;
      END;
    END IF;
  END LOOP;
  IF pg_catalog.cardinality(v_missing) > 0 THEN
    RAISE WARNING 'This server does not let % make the roles %: let its administrator make them (CREATE ROLE ... NOLOGIN), then run SELECT retail.guard_tables(); or `retail-sensors access roles`.',
      current_user, pg_catalog.array_to_string(v_missing, ', ');
  END IF;
  SELECT pg_catalog.array_agg(rolname::text) INTO v_roles
  FROM pg_catalog.pg_roles
  WHERE rolname IN ('retail_ingest', 'retail_transform', 'retail_reader', 'retail_writer');
  v_roles := coalesce(v_roles, '{}');
  IF v_roles @> ARRAY['retail_reader', 'retail_writer']
      AND NOT pg_catalog.pg_has_role('retail_writer', 'retail_reader', 'MEMBER') THEN
    GRANT retail_reader TO retail_writer;
  END IF;
  -- Services see all rows by a policy of their own, which costs nothing: not every server lets a role bypass policies.
  SELECT pg_catalog.string_agg(pg_catalog.quote_ident(rolname), ', ' ORDER BY rolname) INTO v_services
  FROM pg_catalog.pg_roles
  WHERE rolname IN ('retail_owner', 'retail_ingest', 'retail_transform', current_user);

  FOREACH v_role IN ARRAY v_roles LOOP
    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA retail TO %I', v_role);
  END LOOP;
  ALTER FUNCTION retail.ensure_month_partitions(text, timestamptz, timestamptz) SECURITY DEFINER;
  REVOKE ALL ON FUNCTION retail.ensure_month_partitions(text, timestamptz, timestamptz), retail.guard_tables() FROM PUBLIC;
  FOREACH v_role IN ARRAY v_roles LOOP
    IF v_role IN ('retail_ingest', 'retail_transform') THEN
      -- Attaching a partition takes the table's owner.
      EXECUTE pg_catalog.format(
        'GRANT EXECUTE ON FUNCTION retail.ensure_month_partitions(text, timestamptz, timestamptz) TO %I', v_role);
      IF pg_catalog.to_regclass('public.retail_alembic_version') IS NOT NULL THEN
        EXECUTE pg_catalog.format('GRANT SELECT ON public.retail_alembic_version TO %I', v_role);
      END IF;
    ELSE
      FOR v_one IN SELECT c.relname FROM pg_catalog.pg_class AS c
                   WHERE c.relnamespace = 'retail'::pg_catalog.regnamespace AND c.relkind = 'v' LOOP
        EXECUTE pg_catalog.format('GRANT SELECT ON retail.%I TO %I', v_one, v_role);
      END LOOP;
    END IF;
  END LOOP;

  FOR v_table IN
    SELECT c.oid, c.relname::text AS name FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'retail'::pg_catalog.regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY c.relname
  LOOP
    -- Partitions get no grant: they are reached through their table alone, where the policies stand.
    FOREACH v_role IN ARRAY v_roles LOOP
      EXECUTE pg_catalog.format('REVOKE ALL ON retail.%I FROM %I', v_table.name, v_role);
      IF v_role = 'retail_ingest' THEN
        IF v_table.name = ANY (v_raw) THEN
          EXECUTE pg_catalog.format('GRANT SELECT, INSERT, UPDATE, DELETE ON retail.%I TO retail_ingest', v_table.name);
        ELSIF v_table.name = ANY (v_registry) THEN
          EXECUTE pg_catalog.format('GRANT SELECT ON retail.%I TO retail_ingest', v_table.name);
        END IF;
        IF v_table.name = 'sensor_metadata' THEN
          GRANT UPDATE (last_seen_at, clock_offset_seconds, capabilities) ON retail.sensor_metadata TO retail_ingest;
        END IF;
        CONTINUE;
      ELSIF v_role = 'retail_transform' THEN
        EXECUTE pg_catalog.format('GRANT SELECT ON retail.%I TO retail_transform', v_table.name);
        IF NOT v_table.name = ANY (v_raw || v_registry) THEN
          EXECUTE pg_catalog.format('GRANT INSERT, UPDATE, DELETE ON retail.%I TO retail_transform', v_table.name);
        END IF;
        CONTINUE;
      ELSIF v_role = 'retail_writer' THEN
        IF v_table.name = ANY (v_contributed) THEN
          EXECUTE pg_catalog.format('GRANT INSERT, UPDATE, DELETE ON retail.%I TO retail_writer', v_table.name);
        END IF;
        CONTINUE;
      END IF;
      IF v_hidden ? v_table.name THEN
        SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ') INTO v_columns
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = v_table.oid AND a.attnum > 0 AND NOT a.attisdropped AND NOT (v_hidden -> v_table.name) ? a.attname::text;
        EXECUTE pg_catalog.format('GRANT SELECT (%s) ON retail.%I TO retail_reader', v_columns, v_table.name);
      ELSE
        EXECUTE pg_catalog.format('GRANT SELECT ON retail.%I TO retail_reader', v_table.name);
      END IF;
    END LOOP;

    -- A row is read by whoever may read the narrowest thing that it is about, and written by whoever may write all of them.
    v_read := NULL;
    v_write := NULL;
    v_wider := NULL;
    v_is_about := false;
    FOR v_key IN
      SELECT a.attname AS name, a.attnotnull AS is_required, k.confrelid::pg_catalog.regclass::text AS owner,
        row_number() OVER (PARTITION BY k.confrelid ORDER BY a.attnum) AS nth
      FROM pg_catalog.pg_constraint AS k
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
      WHERE k.conrelid = v_table.oid AND k.contype = 'f' AND pg_catalog.cardinality(k.conkey) = 1 AND k.conparentid = 0
        AND k.confrelid IN ('retail.sensor_metadata'::pg_catalog.regclass, 'retail.stores'::pg_catalog.regclass,
          'retail.organizations'::pg_catalog.regclass)
      ORDER BY k.confrelid = 'retail.organizations'::pg_catalog.regclass DESC,
        k.confrelid = 'retail.stores'::pg_catalog.regclass DESC, a.attnum
    LOOP
      v_is_about := v_is_about OR v_key.is_required;
      v_one := pg_catalog.format('%I = ANY (', v_key.name) || CASE v_key.owner
        WHEN 'retail.sensor_metadata' THEN v_sensors WHEN 'retail.stores' THEN v_stores ELSE v_organizations END || ')';
      v_write := pg_catalog.concat_ws(' AND ', v_write, CASE WHEN v_key.is_required THEN pg_catalog.format(v_one, 'true')
        ELSE pg_catalog.format('(%I IS NULL OR ' || v_one || ')', v_key.name, 'true') END);
      IF v_key.nth = 1 THEN
        v_wider := v_read;
        v_read := NULL;
      END IF;
      -- From the widest to the narrowest: where the narrower is not said, the wider decides.
      v_one := CASE WHEN v_key.owner = 'retail.sensor_metadata' AND v_key.is_required
        THEN pg_catalog.format(v_sensors_read, v_key.name) ELSE pg_catalog.format(v_one, 'false') END;
      IF NOT v_key.is_required AND v_wider IS NOT NULL THEN
        v_one := pg_catalog.format('(%s OR %I IS NULL AND %s)', v_one, v_key.name, v_wider);
      END IF;
      v_read := pg_catalog.concat_ws(' AND ', v_read, v_one);
    END LOOP;
    -- A row about nothing in particular is nobody's.
    IF NOT v_is_about THEN
      v_write := v_write || ' AND ' || v_read;
    END IF;
    CASE v_table.name
      WHEN 'organizations' THEN
        v_read := 'id = ANY ((SELECT retail.organizations_around_user())::pg_catalog.uuid[])';
        v_write := 'id = ANY (' || pg_catalog.format(v_organizations, 'true') || ')';
      WHEN 'stores' THEN
        v_read := 'id = ANY ((SELECT retail.stores_around_user())::pg_catalog.uuid[])';
        v_write := 'organization_id = ANY (' || pg_catalog.format(v_organizations, 'true') || ')';
      WHEN 'sensor_metadata' THEN
        v_read := 'id = ANY (' || pg_catalog.format(v_sensors, 'false') || ')';
      WHEN 'camera_groups' THEN
        v_read := 'organization_id = ANY ((SELECT retail.organizations_around_user())::pg_catalog.uuid[])';
      WHEN 'camera_group_assignments' THEN
        v_write := v_write || ' AND EXISTS (SELECT FROM retail.camera_groups AS g WHERE g.id = group_id AND g.organization_id = ANY ('
          || pg_catalog.format(v_organizations, 'true') || '))';
      WHEN 'alert_rules' THEN
        v_read := pg_catalog.format('(%s OR store_id IS NULL AND (SELECT retail.current_user_id()) IS NOT NULL)', v_read);
      WHEN 'notifications' THEN
        -- About an alert as the alert, otherwise as the way that it took.
        v_read := '(alert_id IN (SELECT a.id FROM retail.alerts_generated AS a)'
          || ' OR alert_id IS NULL AND route_id IN (SELECT r.id FROM retail.alert_routes AS r))';
        v_write := NULL;
      WHEN 'fleet_changes' THEN
        -- It outlives what it is about, so it knows organizations by their name.
        v_read := 'organization_name IN (SELECT o.organization_name FROM retail.organizations AS o WHERE o.id = ANY ('
          || pg_catalog.format(v_organizations, 'false') || '))';
        v_write := NULL;
      WHEN 'user_sensor_access' THEN
        v_read := 'user_id = (SELECT retail.current_user_id())';
        v_write := NULL;
      ELSE
        IF v_table.name = ANY (v_shared) THEN
          v_read := '(SELECT retail.current_user_id()) IS NOT NULL';
        END IF;
    END CASE;

    EXECUTE pg_catalog.format('ALTER TABLE retail.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', v_table.name);
    -- Months have no policy: a grant on one by itself shows nothing. Not forced: its owner archives it.
    FOR v_one IN SELECT c.relname FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
                 WHERE i.inhparent = v_table.oid AND NOT c.relrowsecurity LOOP
      EXECUTE pg_catalog.format('ALTER TABLE retail.%I ENABLE ROW LEVEL SECURITY', v_one);
    END LOOP;
    FOR v_one IN SELECT p.polname FROM pg_catalog.pg_policy AS p WHERE p.polrelid = v_table.oid LOOP
      EXECUTE pg_catalog.format('DROP POLICY %I ON retail.%I', v_one, v_table.name);
    END LOOP;
    EXECUTE pg_catalog.format('CREATE POLICY services ON retail.%I TO %s USING (true) WITH CHECK (true)', v_table.name, v_services);
    -- Without a rule nobody but the services sees the table.
    IF v_read IS NOT NULL THEN
      EXECUTE pg_catalog.format('CREATE POLICY users_read ON retail.%I FOR SELECT USING (%s)', v_table.name, v_read);
    END IF;
    v_write := coalesce(v_write, 'false');
    EXECUTE pg_catalog.format('CREATE POLICY users_insert ON retail.%I FOR INSERT WITH CHECK (%s)', v_table.name, v_write);
    EXECUTE pg_catalog.format('CREATE POLICY users_update ON retail.%I FOR UPDATE USING (%s) WITH CHECK (%s)',
      v_table.name, v_write, v_write);
    EXECUTE pg_catalog.format('CREATE POLICY users_delete ON retail.%I FOR DELETE USING (%s)', v_table.name, v_write);
  END LOOP;
  RETURN v_missing;
END
$$;
