-- What callers are remembered by. `IF NOT EXISTS`: a Supabase project may have the table already,
-- from config/supabase.sql.
--
-- Where somebody else runs these files (memory.postgres.migrate = false), the worker's user needs
-- SELECT, INSERT, UPDATE and DELETE on the table and USAGE on the sequence.
CREATE SEQUENCE IF NOT EXISTS voxpool_memories_saved;

-- `saved` numbers the saves: a row that is replaced gets a new number, so the latest has the highest.
CREATE TABLE IF NOT EXISTS voxpool_memories (
    user_id  text NOT NULL,
    category text NOT NULL,
    key      text NOT NULL,
    value    text NOT NULL,
    saved    bigint NOT NULL DEFAULT nextval('voxpool_memories_saved'),
    saved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, category, key)
);

-- A user's latest, without sorting.
CREATE INDEX IF NOT EXISTS voxpool_memories_latest ON voxpool_memories (user_id, saved DESC);

-- In the database of a Supabase project every new table is open to the public key by default.
DO $$
DECLARE
    public_role text;
BEGIN
    FOR public_role IN
        SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated')
    LOOP
        EXECUTE format('REVOKE ALL ON voxpool_memories FROM %I', public_role);
        EXECUTE format('REVOKE ALL ON SEQUENCE voxpool_memories_saved FROM %I', public_role);
        IF to_regclass('voxpool_migrations') IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON voxpool_migrations FROM %I', public_role);
        END IF;
    END LOOP;
END
$$;
