-- depends: 0001.create-enumerations

-- One function keeps updated_at for every table that has it; each table's migration adds the trigger.
-- now() is the time of the transaction: all that one transaction changes carries one moment.

CREATE FUNCTION set_updated_at() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END;
$$;

COMMENT ON FUNCTION set_updated_at() IS
    'Trigger BEFORE UPDATE FOR EACH ROW: sets updated_at, whatever the statement says of it.';
