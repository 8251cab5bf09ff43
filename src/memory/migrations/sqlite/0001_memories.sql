-- `saved` numbers the saves: a row that is replaced gets a new number, so the latest has the highest.
CREATE TABLE voxpool_memories (
    saved    INTEGER PRIMARY KEY,
    user_id  TEXT NOT NULL,
    category TEXT NOT NULL,
    key      TEXT NOT NULL,
    value    TEXT NOT NULL,
    saved_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (user_id, category, key)
);

-- Ends with `saved`, as every index of SQLite: a user's latest are found without sorting.
CREATE INDEX voxpool_memories_user ON voxpool_memories (user_id);
