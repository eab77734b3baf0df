-- depends: 0001.create-enumerations

-- One function sets updated_at for every table that has this column. Each table's migration adds the trigger.
-- now() is the start of the transaction, so all rows that a transaction changes get the same time.

CREATE FUNCTION set_updated_at() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END;
$$;

COMMENT ON FUNCTION set_updated_at() IS
    'Trigger BEFORE UPDATE FOR EACH ROW: sets updated_at, even if the statement sets it too.';
