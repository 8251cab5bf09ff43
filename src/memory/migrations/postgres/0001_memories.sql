-- What callers are remembered by. `IF NOT EXISTS`: a Supabase project may have the table already,
-- from config/supabase.sql.
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
