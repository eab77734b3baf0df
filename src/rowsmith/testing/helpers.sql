-- What a database of tests has beside what its migrations make, in a schema of its own. The search_path is that schema.

-- The schema whose tables are cleared; NULL: all of them.
CREATE TABLE scope AS SELECT CAST(NULL AS text) AS schema;

CREATE FUNCTION tables() RETURNS SETOF regclass STABLE LANGUAGE sql SET search_path FROM CURRENT AS $$
    SELECT c.oid::regclass
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace, scope
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
        AND n.nspname = coalesce(scope.schema, n.nspname)
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', current_schema())
        AND c.relname NOT IN ('_yoyo_log', '_yoyo_migration', '_yoyo_version', 'yoyo_lock')
        AND NOT EXISTS (  -- a table of an extension
            SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    ORDER BY c.oid
$$;

-- The tables into which the migrations have put rows, and copies of these rows.
CREATE TABLE seeds (relation regclass PRIMARY KEY, copy regclass, columns text);

-- The sequences that the migrations have used.
CREATE TABLE used (sequence regclass PRIMARY KEY, value int8);

CREATE FUNCTION keep_seeds() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    relation regclass;
    filled bool;
BEGIN
    FOR relation IN SELECT * FROM tables() LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', relation) INTO filled;
        CONTINUE WHEN NOT filled;
        EXECUTE format('CREATE TABLE seed_%s AS TABLE %s', relation::oid, relation);
        INSERT INTO seeds
        SELECT relation, to_regclass('seed_' || relation::oid), string_agg(quote_ident(attname), ', ' ORDER BY attnum)
        FROM pg_attribute
        WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    END LOOP;
    INSERT INTO used
    SELECT format('%I.%I', schemaname, sequencename)::regclass, last_value FROM pg_sequences, scope
    WHERE last_value IS NOT NULL AND schemaname = coalesce(scope.schema, schemaname);
END
$$;

-- Make the tables and sequences hold what they held after the migrations. Returns how many tables did not.
CREATE FUNCTION clear() RETURNS int LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    each record;
    differs bool;
    changed regclass[] = '{}';
BEGIN
    FOR each IN SELECT t.relation, copy FROM tables() AS t (relation) LEFT JOIN seeds USING (relation) LOOP
        IF each.copy IS NULL THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %s)', each.relation) INTO differs;
        ELSE
            EXECUTE format(
                'SELECT EXISTS ((SELECT t::text FROM %1$s AS t EXCEPT ALL SELECT t::text FROM %2$s AS t)'
                ' UNION ALL (SELECT t::text FROM %2$s AS t EXCEPT ALL SELECT t::text FROM %1$s AS t))',
                each.relation, each.copy
            ) INTO differs;
        END IF;
        IF differs THEN
            changed = changed || each.relation;
        END IF;
    END LOOP;
    PERFORM setval(sequence, coalesce(value, start_value), value IS NOT NULL)
    FROM (SELECT format('%I.%I', schemaname, sequencename)::regclass, start_value, last_value FROM pg_sequences, scope
          WHERE schemaname = coalesce(scope.schema, schemaname)) AS s (sequence, start_value, last_value)
        LEFT JOIN used USING (sequence)
    WHERE last_value IS DISTINCT FROM value;
    IF changed = '{}' THEN
        RETURN 0;
    END IF;
    EXECUTE 'TRUNCATE ' || array_to_string(changed, ', ') || ' CASCADE';
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        PERFORM set_config('session_replication_role', 'replica', true);  -- no triggers, no foreign keys
    END IF;
    FOR each IN SELECT * FROM seeds ORDER BY relation LOOP
        EXECUTE format(
            'INSERT INTO %1$s (%3$s) OVERRIDING SYSTEM VALUE SELECT %3$s FROM %2$s'
            ' WHERE NOT EXISTS (SELECT FROM %1$s)',
            each.relation, each.copy, each.columns
        );
    END LOOP;
    RETURN cardinality(changed);
END
$$;
