//! The statements of the SQLite store. A batch is one JSON text, so each statement fits every number of rows.

/// `REPLACE` gives the row a new number, in the order of the array.
pub(super) const SAVE: &str = "
INSERT OR REPLACE INTO voxpool_memories (user_id, category, key, value)
SELECT value ->> 'user_id', value ->> 'category', value ->> 'key', value ->> 'value'
FROM json_each(?1) ORDER BY json_each.key";

pub(super) const DELETE: &str = "
DELETE FROM voxpool_memories WHERE saved IN (
    SELECT memories.saved FROM json_each(?1) AS wanted
    JOIN voxpool_memories AS memories ON memories.user_id = wanted.value ->> 'user_id'
        AND memories.category = coalesce(wanted.value ->> 'category', memories.category)
        AND memories.key = coalesce(wanted.value ->> 'key', memories.key)
) RETURNING user_id, category, key";

/// Leaves out rows that are older than `?2` days; 0: none.
pub(super) const GET: &str = "
SELECT place, category, key, value FROM (
    SELECT wanted.key AS place, memories.category, memories.key, memories.value,
        wanted.value ->> 'count_max' AS count_max,
        row_number() OVER (PARTITION BY wanted.key ORDER BY memories.saved DESC) AS nth
    FROM json_each(?1) AS wanted
    JOIN voxpool_memories AS memories ON memories.user_id = wanted.value ->> 'user_id'
        AND memories.category = coalesce(wanted.value ->> 'category', memories.category)
        AND memories.key = coalesce(wanted.value ->> 'key', memories.key)
    WHERE ?2 = 0 OR memories.saved_at >= datetime('now', '-' || ?2 || ' days')
) WHERE nth <= count_max ORDER BY place, nth";

/// `oldest` is the number of the last row that a user may have; it is found in the index alone, and so
/// are the rows before it.
pub(super) const TRIM: &str = "
WITH limits AS MATERIALIZED (
    SELECT users.value AS user_id, (
        SELECT saved FROM voxpool_memories AS newest WHERE newest.user_id = users.value
        ORDER BY saved DESC LIMIT 1 OFFSET ?2 - 1
    ) AS oldest
    FROM json_each(?1) AS users
)
DELETE FROM voxpool_memories WHERE saved IN (
    SELECT memories.saved FROM limits
    JOIN voxpool_memories AS memories ON memories.user_id = limits.user_id
        AND memories.saved < limits.oldest
    WHERE memories.category <> 'PROFILE'
    UNION ALL
    SELECT memories.saved FROM limits
    JOIN voxpool_memories AS memories ON memories.user_id = limits.user_id
    WHERE ?3 > 0 AND memories.saved_at < datetime('now', '-' || ?3 || ' days')
)";

pub(super) const USERS: &str = "
SELECT DISTINCT user_id FROM voxpool_memories WHERE user_id > ?1 ORDER BY user_id LIMIT ?2";
