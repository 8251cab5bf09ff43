-- voxpool's memory in a Supabase project. Run it in the project's SQL editor, once, and again after an
-- update of voxpool: that changes no memory and adds what the version needs. (Until then an updated
-- worker goes on as before; only the limits of rows and age wait for their functions.) The worker
-- needs SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY.
--
-- The worker calls a few functions, most of them with a whole batch in the body of its request: one round
-- trip serves any number of callers, and no caller's identity is part of an address that a gateway
-- would log. The functions run with the rights of whoever calls them, so they open nothing.

CREATE SEQUENCE IF NOT EXISTS public.voxpool_memories_saved;

-- `saved` numbers the saves: a row that is replaced gets a new number, so the latest has the highest.
CREATE TABLE IF NOT EXISTS public.voxpool_memories (
    user_id  text NOT NULL,
    category text NOT NULL,
    key      text NOT NULL,
    value    text NOT NULL,
    saved    bigint NOT NULL DEFAULT nextval('public.voxpool_memories_saved'),
    saved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, category, key)
);

-- A user's latest, without sorting.
CREATE INDEX IF NOT EXISTS voxpool_memories_latest
    ON public.voxpool_memories (user_id, saved DESC);

-- Saves an array of {user_id, category, key, value}; no two may have the same key. They are numbered
-- in their order, and written in the order of their keys: two batches never wait for each other.
CREATE OR REPLACE FUNCTION public.voxpool_save(rows jsonb) RETURNS void
LANGUAGE sql SECURITY INVOKER SET search_path = '' AS $$
    WITH numbered AS MATERIALIZED (
        SELECT item, nextval('public.voxpool_memories_saved') AS saved
        FROM (
            SELECT item FROM jsonb_array_elements(rows) WITH ORDINALITY AS given (item, place)
            ORDER BY place
        ) AS ordered
    )
    INSERT INTO public.voxpool_memories AS memories (user_id, category, key, value, saved)
    SELECT item ->> 'user_id', item ->> 'category', item ->> 'key', item ->> 'value', saved
    FROM numbered ORDER BY 1, 2, 3
    ON CONFLICT (user_id, category, key)
    DO UPDATE SET value = EXCLUDED.value, saved = EXCLUDED.saved, saved_at = now()
$$;

-- Deletes what an array of {user_id, category or null, key or null} describes; returns the keys of
-- what was there.
CREATE OR REPLACE FUNCTION public.voxpool_delete(wanted jsonb) RETURNS jsonb
LANGUAGE sql SECURITY INVOKER SET search_path = '' AS $$
    WITH gone AS (
        DELETE FROM public.voxpool_memories AS memories
        USING jsonb_array_elements(wanted) AS item
        WHERE memories.user_id = item ->> 'user_id'
            AND (item ->> 'category' IS NULL OR memories.category = item ->> 'category')
            AND (item ->> 'key' IS NULL OR memories.key = item ->> 'key')
        RETURNING memories.user_id, memories.category, memories.key
    )
    SELECT coalesce(jsonb_agg(to_jsonb(gone)), '[]') FROM gone
$$;

-- Reads what an array of {user_id, category or null, key or null, count_max, keep_days} describes, the
-- latest first, and nothing that is older than so many days (0: everything). One JSON value, because the API cuts off rows beyond its `max-rows` without a word.
CREATE OR REPLACE FUNCTION public.voxpool_get(wanted jsonb) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER SET search_path = '' AS $$
    SELECT coalesce(
        jsonb_agg(
            jsonb_build_object(
                'place', asked.place - 1,
                'category', found.category,
                'key', found.key,
                'value', found.value
            )
            ORDER BY asked.place, found.saved DESC
        ),
        '[]'
    )
    FROM jsonb_array_elements(wanted) WITH ORDINALITY AS asked (item, place)
    CROSS JOIN LATERAL (
        SELECT category, key, value, saved FROM public.voxpool_memories AS memories
        WHERE memories.user_id = asked.item ->> 'user_id'
            AND (asked.item ->> 'category' IS NULL
                OR memories.category = asked.item ->> 'category')
            AND (asked.item ->> 'key' IS NULL OR memories.key = asked.item ->> 'key')
            AND (coalesce((asked.item ->> 'keep_days')::integer, 0) = 0 OR memories.saved_at
                >= now() - make_interval(days => (asked.item ->> 'keep_days')::integer))
        ORDER BY saved DESC LIMIT (asked.item ->> 'count_max')::bigint
    ) AS found
$$;

-- Deletes what these users may no longer have: rows beyond the latest `per_user_max`, but never the
-- summary, and rows that are older than `keep_days` (0: none). Returns how many rows went. Rows that
-- are being saved at this moment are skipped, so no save waits for it.
CREATE OR REPLACE FUNCTION public.voxpool_trim(
    users jsonb, per_user_max integer, keep_days integer
) RETURNS bigint
LANGUAGE sql SECURITY INVOKER SET search_path = '' AS $$
    WITH found AS MATERIALIZED (
        SELECT asked.user_id, (
            SELECT saved FROM public.voxpool_memories AS newest
            WHERE newest.user_id = asked.user_id
            ORDER BY saved DESC LIMIT 1 OFFSET per_user_max - 1
        ) AS oldest
        FROM jsonb_array_elements_text(users) AS asked (user_id)
    ), limits AS MATERIALIZED (
        -- All rows of a user are read only if memories have an age.
        SELECT user_id, oldest,
            CASE WHEN keep_days > 0 THEN 9223372036854775807 ELSE oldest END AS read_to
        FROM found
    ), old AS MATERIALIZED (
        SELECT memories.user_id, memories.category, memories.key
        FROM limits JOIN public.voxpool_memories AS memories
            ON memories.user_id = limits.user_id AND memories.saved < limits.read_to
        WHERE (memories.saved < limits.oldest AND memories.category <> 'PROFILE')
            OR (keep_days > 0 AND memories.saved_at < now() - make_interval(days => keep_days))
        FOR UPDATE OF memories SKIP LOCKED
    ), gone AS (
        DELETE FROM public.voxpool_memories AS memories USING old
        WHERE memories.user_id = old.user_id AND memories.category = old.category
            AND memories.key = old.key
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

-- Up to `count_max` users who have memories, in order, that come after this one.
CREATE OR REPLACE FUNCTION public.voxpool_users(after text, count_max integer) RETURNS jsonb
LANGUAGE sql STABLE SECURITY INVOKER SET search_path = '' AS $$
    SELECT coalesce(jsonb_agg(user_id ORDER BY user_id), '[]') FROM (
        SELECT DISTINCT user_id FROM public.voxpool_memories
        WHERE user_id > after ORDER BY user_id LIMIT count_max
    ) AS users
$$;

-- Only the service role gets in. Supabase grants every new table and function to `anon` and
-- `authenticated` by default, so that is taken back; row-level security without a policy closes the
-- table a second time.
ALTER TABLE public.voxpool_memories ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON public.voxpool_memories FROM PUBLIC, anon, authenticated;
REVOKE ALL ON SEQUENCE public.voxpool_memories_saved FROM PUBLIC, anon, authenticated;
REVOKE ALL ON FUNCTION public.voxpool_save(jsonb), public.voxpool_delete(jsonb),
    public.voxpool_get(jsonb), public.voxpool_trim(jsonb, integer, integer),
    public.voxpool_users(text, integer) FROM PUBLIC, anon, authenticated;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.voxpool_memories TO service_role;
GRANT USAGE ON SEQUENCE public.voxpool_memories_saved TO service_role;
GRANT EXECUTE ON FUNCTION public.voxpool_save(jsonb), public.voxpool_delete(jsonb),
    public.voxpool_get(jsonb), public.voxpool_trim(jsonb, integer, integer),
    public.voxpool_users(text, integer) TO service_role;

-- With the anonymous (publishable) key instead of the service role key, run this as well, each time, without
-- the leading dashes. Each request is then for one caller, whom the header `x-voxpool-user` names (in
-- base64), and the database lets it touch that caller's rows only.
--
-- What that gives: whatever goes wrong in the worker, one caller's request cannot reach another's
-- rows. What it does not give: a secret. The anonymous key is made to be public, and whoever has it
-- can name any caller. Use it only where nobody else has the key; on a server the service role key
-- is the better one, and faster: it needs one request for all callers.
--
-- begin: anonymous key
-- GRANT SELECT, INSERT, UPDATE, DELETE ON public.voxpool_memories TO anon;
-- GRANT USAGE ON SEQUENCE public.voxpool_memories_saved TO anon;
-- GRANT EXECUTE ON FUNCTION public.voxpool_save(jsonb), public.voxpool_delete(jsonb),
--     public.voxpool_get(jsonb), public.voxpool_trim(jsonb, integer, integer) TO anon;
-- DROP POLICY IF EXISTS voxpool_own_rows ON public.voxpool_memories;
-- CREATE POLICY voxpool_own_rows ON public.voxpool_memories TO anon
--     USING (user_id = convert_from(decode(
--         current_setting('request.headers', true)::json ->> 'x-voxpool-user', 'base64'), 'UTF8'))
--     WITH CHECK (user_id = convert_from(decode(
--         current_setting('request.headers', true)::json ->> 'x-voxpool-user', 'base64'), 'UTF8'));
-- end: anonymous key

-- The API learns of the new functions.
NOTIFY pgrst, 'reload schema';
